"""
`materializer publish` in a process of its own, to be killed.

    python -m tests.materializer.publish_child POINT PROJECT_DIR

It prints one line when it reaches POINT and then waits: `tagging` (the labels are tagged, the
training set is not yet), `receipt` (every snapshot is tagged, no receipt is written), `files` (the
receipt is kept, the file and the receipt next to it are not in place).
"""

import sys
import time
from pathlib import Path
from typing import Any

from materializer import cli
from materializer.offline import write
from materializer.training import files as training_files
from materializer.training import publish as training_publish


def wait_here() -> None:
    sys.stdout.write("here\n")
    sys.stdout.flush()
    time.sleep(60)


def tag_labels_alone(catalog: Any, tag: str, snapshots: dict[str, int]) -> None:
    _tag(catalog, tag, {"labels": snapshots["labels"]})
    wait_here()


def keep_alone(path: Path, text: str) -> None:
    _replace_text(path, text)
    wait_here()


_tag = write.tag_snapshots
_replace_text = training_files.replace_text


def main() -> None:
    # setattr: the modules do not re-export what they use.
    if sys.argv[1] == "tagging":
        setattr(training_publish, "tag_snapshots", tag_labels_alone)  # noqa: B010
    if sys.argv[1] == "receipt":
        setattr(training_files.TrainingFiles, "show", lambda *_: wait_here())  # noqa: B010
    if sys.argv[1] == "files":
        setattr(training_files, "replace_text", keep_alone)  # noqa: B010
    cli.main(["publish", "--json", "--project-dir", sys.argv[2]])


if __name__ == "__main__":
    main()
