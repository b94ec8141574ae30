"""NGAME's curriculum as pure functions of the epoch (ViXML, supplement; method: NGAME, WSDM 2023)."""

from __future__ import annotations

from vixml.params.batching import BatchingParams


def cluster_size_at(epoch: int, params: BatchingParams) -> int:
    """Return the cluster size in force at `epoch`: it doubles at each of `double_at`."""
    return params.cluster_size * 2 ** sum(epoch >= at for at in params.double_at)


def is_clustered(epoch: int, params: BatchingParams) -> bool:
    """Return whether `epoch` draws its batches from clusters."""
    return epoch >= params.start_epoch


def is_reclustered(epoch: int, params: BatchingParams) -> bool:
    """Return whether the clusters are renewed from the stale bank right before `epoch`.

    The very first clustering (at `start_epoch`) is the exact one of the refresh stage.
    """
    since = epoch - params.start_epoch
    return since > 0 and (since % params.update_every == 0 or epoch in params.double_at)


def refresh_number(epoch: int, params: BatchingParams) -> int:
    """Return which refresh inside the hard stage the one before `epoch` is: 1 for the first, 0 for the exact one."""
    return sum(is_reclustered(earlier, params) for earlier in range(params.start_epoch, epoch + 1))


def is_due(number: int, every: int) -> bool:
    """Return whether something that is done at every n-th refresh (0: never) is done at refresh `number`."""
    return every > 0 and number > 0 and number % every == 0
