"""Ids for messages whose senders give none."""

from __future__ import annotations

import os

from bridge.connectors.toolkit.ids import AT_ONCE, new_id


def test_each_new_id_has_128_bits_and_differs() -> None:
    ids = [new_id() for _ in range(10 * AT_ONCE)]
    assert len(set(ids)) == len(ids)
    assert {len(bytes.fromhex(id)) for id in ids} == {16}


def test_a_forked_process_makes_other_ids() -> None:
    new_id()
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.write(writes, " ".join(new_id() for _ in range(AT_ONCE)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reads, 1 << 16).decode().split()
    assert len(theirs) == AT_ONCE
    assert not {new_id() for _ in range(AT_ONCE)} & set(theirs)
    os.close(reads)
    os.close(writes)
