"""`python -m pri3d_train`, which is what torchrun starts."""

from pri3d_train.cli import main

# Loader processes import this file too, under another name.
if __name__ == "__main__":
    main(prog_name="pri3d-train")
