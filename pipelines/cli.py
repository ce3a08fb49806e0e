"""The `pri3d-data` command: one module a subcommand, loaded when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from pri3d_data.errors import Pri3DError

_COMMANDS = {
    "demo": "Make a small capture, build it, and show the result; no download.",
    "synth": "Write made-up raw captures in a data set's own layout.",
    "build": "Turn raw captures into shards.",
    "stats": "Count what is in a data set.",
    "inspect": "Draw a scene's frames and pairs, or list a sample.",
    "verify": "Check every byte of a data set.",
    "repair": "Build what is damaged of a data set again.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"pipelines.commands.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Written from the table above, so that help loads none of the commands.
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="pri3d", prog_name="pri3d-data")
def group() -> None:
    """Raw RGB-D captures to streaming shards for Pri3D pre-training.

    \b
    pri3d-data demo                                             try everything, no download
    pri3d-data build scannet --input RAW --output OUT -w 16     the main job
    pri3d-data stats OUT                                        what came out

    Exit status: 0 all done, 1 done with failures recorded, 2 wrong use, 3 stopped and resumable.
    """


def main() -> None:
    """Entry point: our own errors are shown as one message, without a trace."""
    try:
        group(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped.", err=True)
        sys.exit(3)
    except Pri3DError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
