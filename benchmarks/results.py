"""What was measured: one line of JSON for each build, kept when a run is interrupted."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """What one event cost one variant in one repeat. Bytes are those on the wire."""

    set: str
    """The packages: a key of `scenario.SETS`."""
    store: str
    """The engine's image store: `containerd` or `overlay2`."""
    variant: str
    event: str
    repeat: int
    inputs: str
    """A digest of what the result depends on and was measured with: figures of other inputs are not compared."""
    rate: float = 0.0
    """Bytes a second that the package index sent at most; zero: as many as it could."""
    where: str = ""
    """The engine and the machine."""
    seconds: float = 0.0
    """From the start of `docker buildx build` until the image is in the engine's store."""
    wheels: dict[str, int] = field(default_factory=dict)
    """The bytes that the package index sent, by the name of the wheel."""
    pages: int = 0
    """Other answers of the package index, such as pages, 304 and the metadata of wheels."""
    pushed: int = 0
    """Bytes that the registry received: layers, configurations and manifests."""
    pulled: int = 0
    """Bytes of the layers and configurations that the registry sent, while building."""
    pulled_layers: int = 0
    """How many of those were layers of the image."""
    ran: list[str] = field(default_factory=list)
    """The RUN steps that the build cache did not have, like "packages 1/1"."""
    layers: list[int] = field(default_factory=list)
    """Bytes of the layers of the image in the registry, compressed, lowest first."""
    cache: int = 0
    """Bytes that a registry cache has beside the image; zero where none was written."""
    node: int = 0
    """Bytes of the blobs that another engine then pulled, which has the images of the weeks before."""
    first_answer: float = 0.0
    """Seconds from `docker run` to the first answer 200 of /readyz; zero where it was not asked."""


class Results:
    """The records of a file, in the order in which they were made.

    Args:
        path: where they are kept; it need not exist. A last line cut short by a full disk is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self.records.append(Record(**json.loads(line)))
                except (ValueError, TypeError):  # cut short, or of another version of this program
                    continue

    def have(self, wanted: Iterable[Record]) -> bool:
        """Whether there are records of the same events, variants and repeats, made from the same inputs."""
        return {identity(record) for record in wanted} <= {identity(record) for record in self.records}

    def add(self, new: Record) -> None:
        """Append a record to the file, in place of one with the same identity. The newest are the last ones."""
        self.records = [record for record in self.records if identity(record) != identity(new)] + [new]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".new")
        temporary.write_text("".join(json.dumps(asdict(record)) + "\n" for record in self.records), encoding="utf-8")
        temporary.replace(self.path)


def identity(record: Record) -> tuple[str, str, str, str, int, str]:
    """Return what tells a record from others."""
    return record.set, record.store, record.variant, record.event, record.repeat, record.inputs
