"""One module a subcommand of `pri3d-data`: options in, a call, its result shown. No logic of its own."""
