"""Making room: cached disks, leftovers of killed processes, layers that no recent build uses."""

from goldsmith.kernel.files import remove_tree
from goldsmith.kernel.json import JsonObject
from goldsmith.marketplace import service as marketplaces
from goldsmith.publishing.model import BuildState
from goldsmith.publishing.workshop import Workshop

_BUILDS_KEPT_PER_TEMPLATE = 3


def clean(workshop: Workshop, *, keep_disks: int) -> JsonObject:
    """Removes what can be had again, and counts it: `{bytes, disks, layers, leftovers}`.

    Layers of the last builds of each template stay, and so does everything of a running build.
    """
    before = _used_bytes(workshop)
    leftovers = len(workshop.layers.sweep()) + len(marketplaces.sweep(workshop.marketplace))
    records = workshop.records.list()
    running = any(record.state is BuildState.RUNNING for record in records)
    disks = 0
    if not running:
        cached = sorted(workshop.disks.glob("*.raw"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in cached[keep_disks:]:
            path.unlink()
            disks += 1
    layers = 0 if running else _drop_layers(workshop)
    if not running:
        remove_tree(workshop.state / "rebuilds")
    freed = max(0, before - _used_bytes(workshop))
    return {"bytes": freed, "disks": disks, "layers": layers, "leftovers": leftovers}


def _drop_layers(workshop: Workshop) -> int:
    used: set[str] = set()
    seen: dict[str, int] = {}
    for record in workshop.records.list():
        name = record.plan.template_name
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= _BUILDS_KEPT_PER_TEMPLATE:
            used |= {step.key for step in record.plan.steps}
    store = workshop.layers
    present = store.keys()
    # The layer with the boot files is made again in a moment; it belongs to no plan.
    doomed = [key for key in present if key not in used]
    for key in doomed:
        store.remove(key)
    return len(doomed)


def _used_bytes(workshop: Workshop) -> int:
    total = 0
    for name in ("layers", "disks", "bases", "rebuilds"):
        folder = workshop.state / name
        if folder.is_dir():
            total += sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_dir())
    return total
