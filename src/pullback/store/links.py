"""Links to other files, which an artefact must not have: it would not be whole by itself, or could show any file."""

from __future__ import annotations

from pathlib import Path

import h5py

from ..errors import ArtefactError


def refuse_links(path: str | Path, file: h5py.File) -> None:
    """Refuse links to other files, except the virtual datasets of `study.h5`; `path` is named in the message.

    Raises
    ------
    ArtefactError
        A group has an external link, or a dataset keeps its data in another file.

    """

    def wrong(name: bytes, link: h5py.h5l.LinkInfo) -> str | None:
        if link.type == h5py.h5l.TYPE_EXTERNAL:
            return f"/{name.decode()} links to another file"
        member = h5py.h5o.open(file.id, name)
        if isinstance(member, h5py.h5d.DatasetID) and member.get_create_plist().get_external_count():
            return f"/{name.decode()} keeps its data in another file"
        return None

    # The low-level interface takes half the time for the hundreds of columns of a study; it ends with the first words.
    if words := file.id.links.visit(wrong, info=True):
        raise ArtefactError(f"{path}: {words}, which is refused")
