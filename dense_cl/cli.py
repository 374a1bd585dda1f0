"""``dense-cl``: one command, one module per subcommand, imported only when it is asked for."""

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence

from dense_cl import __version__
from dense_cl.errors import DenseCLError

# Each is a module of dense_cl.commands with add_arguments(parser) and run(args) -> exit status.
COMMANDS = {
    "quickstart": "generate scenes, pretrain, fine-tune and report, in one go",
    "show": "draw what a recipe's objectives will see: views, regions, saliency, crops, features",
    "regions": "find the regions of all images, for methods that contrast regions",
    "saliency": "find what is salient in all images, for crops and attention that follow it",
    "mine": "find alike regions of different images, for ORL",
    "pretrain": "pretrain a backbone on unlabelled images",
    "diagnose": "say what a backbone's features are like, and whether they are healthy",
    "export": "write the backbone of a checkpoint as .pth and .safetensors",
    "finetune": "fine-tune an MMDetection model from an exported backbone",
    "evaluate": "measure how a backbone transfers",
    "compare": "say which of several methods transfers better, with uncertainty, as a page",
    "scenes": "generate synthetic multi-object scenes with labels",
    "doctor": "say what is installed, which operators are used, and what is wrong",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return its exit status (2 for a mistake in the input)."""
    # Idle threads of a parallel loop sleep instead of spinning: the workers that decode images,
    # and whatever else the machine does, need the cores. It counts before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="dense-cl", description="Dense and scene-level representation learning."
    )
    parser.add_argument("--version", action="version", version=f"dense_cl {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Only the module asked for is imported, so that `dense-cl --help` stays instant.
    asked = next((word for word in argv if not word.startswith("-")), None)
    module = None
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if name == asked:
            module = importlib.import_module(f"dense_cl.commands.{name}")
            module.add_arguments(subparser)
    args = parser.parse_args(argv)
    args.command_line = shlex.join(["dense-cl", *argv])
    assert module is not None
    try:
        return int(module.run(args) or 0)
    except DenseCLError as error:
        print(f"dense-cl {asked}: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a disk that is full, a folder that is not ours
        where = f" '{error.filename}'" if error.filename else ""
        print(f"dense-cl {asked}: error:{where} {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ndense-cl {asked}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
