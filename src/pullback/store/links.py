"""Links that an artefact must not have: to other files, so that it would not be whole, or to another place in it."""

from __future__ import annotations

from pathlib import Path

import h5py

from ..errors import ArtefactError


def refuse_links(path: str | Path, file: h5py.File) -> None:
    """Refuse links to other files, soft links, and second links to a group; `path` is named in the message.

    The virtual datasets of `study.h5` are no links.

    Raises
    ------
    ArtefactError
        A group has such a link, or a dataset keeps its data in another file.

    """
    groups = {h5py.h5o.get_info(file.id).addr}

    def wrong(name: bytes, link: h5py.h5l.LinkInfo) -> str | None:
        place = f"/{name.decode(errors='replace')}"
        if link.type != h5py.h5l.TYPE_HARD:
            return f"{place} links to another {'file' if link.type == h5py.h5l.TYPE_EXTERNAL else 'place'}"
        member = h5py.h5o.open(file.id, name)
        if isinstance(member, h5py.h5g.GroupID):
            address = h5py.h5o.get_info(member).addr
            if address in groups:
                return f"{place} links to another place"
            groups.add(address)
        elif isinstance(member, h5py.h5d.DatasetID) and member.get_create_plist().get_external_count():
            return f"{place} keeps its data in another file"
        return None

    # The low-level interface takes half the time for the hundreds of columns of a study; it ends with the first words.
    if words := file.id.links.visit(wrong, info=True):
        raise ArtefactError(f"{path}: {words}, which is refused")
