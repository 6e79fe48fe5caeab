"""File access for tables whose files lie under a scheme that nothing else understands."""

from typing import Any

from pyiceberg.io.pyarrow import PyArrowFileIO


class ElsewhereIO(PyArrowFileIO):
    """Keeps `elsewhere:///path` in `/path`, as another one keeps `s3://bucket/path` in a bucket."""

    def _initialize_fs(self, scheme: str, netloc: str | None = None) -> Any:
        return super()._initialize_fs("file" if scheme == "elsewhere" else scheme, netloc)
