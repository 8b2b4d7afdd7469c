"""Ranks: the processes among which the passes of a stage are dealt.

Control is replicated, passes are dealt. Every rank runs the same code with the same seeds on the same tables,
and keeps the same results; a pass is run by one rank only. Results are gathered in the order of the parts,
and gradients are summed over the ranks, so that all ranks have the same bits. Losses are divided by the whole
minibatch before they are dealt: a sum over ranks is exact, whatever the split.

Tables travel over gloo, gradients of a GPU over NCCL. What ranks send each other is data, never code.
Collectives have no time limit of their own: a rank waits as long as another one works (`pipeline/launch.py`
ends a stage whose ranks hang).
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.tensor import DTensor

from alignloop.errors import AlignloopError

P = TypeVar("P")
R = TypeVar("R")
Activity = Literal["control", "passes", "waits"]
Locally = Callable[[Callable[[P], R], Sequence[P]], Iterable[R]]  # runs parts in this process, in their order
FOREVER = timedelta(days=365)
BUCKET = 25_000_000  # elements that are summed over the ranks at a time
REACH = (
    "let the hosts reach each other: name the network interface that they share in GLOO_SOCKET_IFNAME (and "
    "NCCL_SOCKET_IFNAME), open the ports between them, and run again"
)
NETWORK = ("gloo", "nccl", "connection", "socket", "peer")  # words of torch's messages about it


class RankLost(RuntimeError):
    """Another rank has ended, or cannot be reached; the message to show is that rank's own."""


class Ranks:
    """This process (`rank`) among all (`size`); `hosts` has the name of each rank's host.

    With `in_turns`, every rank runs as many passes as the others and at the same time, as sharded models need
    it; a rank without a pass of its own repeats the last one, which then counts nothing. `activity` is what
    the rank does now.
    """

    def __init__(self, rank: int, size: int, hosts: Sequence[str], in_turns: bool = False) -> None:
        self.rank, self.size = rank, size
        self.hosts, self.in_turns = list(hosts), in_turns
        self.activity: Activity = "control"

    @property
    def on_this_host(self) -> int:
        """How many ranks share this rank's host."""
        return self.hosts.count(self.hosts[self.rank])

    @property
    def place_on_host(self) -> int:
        """This rank's place among those of its host, from 0."""
        return self.hosts[: self.rank].count(self.hosts[self.rank])

    def in_parallel(self, work: Callable[[P], R], parts: Sequence[P], locally: Locally[P, R]) -> Iterator[R]:
        """The results of `work` for all parts, in their order, on every rank."""
        parts = list(parts)
        if self.in_turns:
            done = self._in_turns(lambda place, counts: work(parts[place]), len(parts))
        else:
            mine = range(self.rank, len(parts), self.size)
            with self._doing("passes"):
                done = list(zip(mine, locally(work, [parts[place] for place in mine]), strict=True))
        yield from self.gather(done, len(parts))

    def backward(
        self,
        loss: Callable[[P], tuple[Tensor, R]],
        parts: Sequence[P],
        weights: Sequence[Tensor],
        locally: Locally[P, Any],
    ) -> list[R]:
        """Add the gradient of the summed losses of all parts to the `.grad` of the trainable weights."""
        parts = list(parts)
        trainable = [weight for weight in weights if weight.requires_grad]
        backward = self._backward_in_turns if self.in_turns else self._backward_dealt
        return self.gather(backward(loss, parts, trainable, locally), len(parts))

    def gather(self, done: Sequence[tuple[int, R]], count: int) -> list[R]:
        """The results of all parts, in order, from each rank's own, given as (place, result)."""
        with self._doing("waits"):
            found = {place: result for box in _of_all(list(done), self.size) for place, result in box}
        return [found[place] for place in range(count)]

    def share(self, value: R) -> R:
        """The value of rank 0, on every rank; the values of the others are not looked at."""
        with self._doing("waits"):
            data = _packed(value if self.rank == 0 else None)
            size = torch.tensor([len(data)])
            dist.broadcast(size, src=0)
            if self.rank:
                data = torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(data, src=0)
        return _unpacked(data)

    def meet(self) -> None:
        """Wait until every rank is here."""
        with self._doing("waits"):
            dist.barrier()

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its sum over the ranks; all ranks get the same bits."""
        with self._doing("waits"):
            for bucket in _buckets(tensors):
                flat = torch.cat([tensor.flatten() for tensor in bucket])
                dist.all_reduce(flat)
                for tensor, part in zip(bucket, flat.split([each.numel() for each in bucket]), strict=True):
                    tensor.copy_(part.view_as(tensor))

    def _backward_dealt(
        self,
        loss: Callable[[P], tuple[Tensor, R]],
        parts: Sequence[P],
        trainable: Sequence[Tensor],
        locally: Locally[P, Any],
    ) -> list[tuple[int, R]]:
        def gradients(part: P) -> tuple[tuple[Tensor | None, ...], R]:
            value, result = loss(part)
            return torch.autograd.grad(value, trainable, allow_unused=True), result

        mine = range(self.rank, len(parts), self.size)
        sums: list[Tensor | None] = [None] * len(trainable)
        done: list[tuple[int, R]] = []
        with self._doing("passes"):
            found = zip(mine, locally(gradients, [parts[place] for place in mine]), strict=True)
            for place, (part_gradients, result) in found:
                for number, gradient in enumerate(part_gradients):
                    if gradient is not None:
                        before = sums[number]
                        sums[number] = gradient.clone() if before is None else before.add_(gradient)
                done.append((place, result))
        self._add_sums(trainable, sums)
        return done

    def _backward_in_turns(
        self,
        loss: Callable[[P], tuple[Tensor, R]],
        parts: Sequence[P],
        trainable: Sequence[Tensor],
        locally: Locally[P, Any],
    ) -> list[tuple[int, R]]:
        # `torch.autograd.grad` returns nothing for shards: their gradients are summed by the backward pass
        plain = [weight for weight in trainable if not isinstance(weight, DTensor)]
        before = [weight.grad for weight in plain]
        for weight in plain:
            weight.grad = None

        def one(place: int, counts: bool) -> R:
            value, result = loss(parts[place])
            (value if counts else value * 0.0).backward()
            return result

        done = self._in_turns(one, len(parts))
        sums = [weight.grad for weight in plain]
        for weight, gradient in zip(plain, before, strict=True):
            weight.grad = gradient
        self._add_sums(plain, sums)
        return done

    def _in_turns(self, one: Callable[[int, bool], R], count: int) -> list[tuple[int, R]]:
        """The results of this rank's parts, with as many calls of `one` on every rank."""
        self.meet()  # a rank that waits for another's control does so here, not in the middle of a pass
        done: list[tuple[int, R]] = []
        with self._doing("passes"):
            for place in range(self.rank, -(-count // self.size) * self.size, self.size):
                result = one(min(place, count - 1), place < count)
                if place < count:
                    done.append((place, result))
        return done

    def _add_sums(self, weights: Sequence[Tensor], sums: Sequence[Tensor | None]) -> None:
        """Add to the `.grad` of each weight the sum over the ranks; None: this rank has no gradient of it."""
        used = torch.tensor([gradient is not None for gradient in sums], dtype=torch.int64)
        self.sum([used])
        pairs = [
            (weight, torch.zeros_like(weight) if gradient is None else gradient)
            for weight, gradient, ranks in zip(weights, sums, used.tolist(), strict=True)
            if ranks
        ]
        self.sum([gradient for _, gradient in pairs])
        for weight, gradient in pairs:
            weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)

    @contextmanager
    def _doing(self, activity: Activity) -> Iterator[None]:
        """Mark what this rank does inside the block. Raises RankLost where the network says so."""
        self.activity = activity
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, dist.DistError) or any(word in str(error).lower() for word in NETWORK):
                raise RankLost(f"another rank has ended: {error}") from error
            raise
        finally:
            self.activity = "control"


def join(rank: int, size: int, meeting: Path, host: str = "", in_turns: bool = False) -> Ranks:
    """Become one of `size` ranks, which find each other by the new file `meeting`.

    The file is on a file system that all hosts share; no port is opened for it. Returns when all are there.
    Raises AlignloopError where this process has no network to meet on.
    """
    store = dist.FileStore(str(meeting), size)  # pyright: ignore[reportPrivateImportUsage]
    store.set_timeout(FOREVER)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=FOREVER)
    except RuntimeError as error:
        if "peer" in str(error):  # another rank has ended, and says why
            raise
        reason = str(error).splitlines()[0].rpartition("nullptr. ")[2].rpartition("] ")[2]
        raise AlignloopError(
            f"rank {rank} of {size} on {socket.gethostname()} has no way to the others ({reason}); {REACH}"
        ) from None
    return Ranks(rank, size, _of_all(host or socket.gethostname(), size), in_turns)


def leave() -> None:
    """Be no rank any more; call it when all ranks have met for the last time."""
    dist.destroy_process_group()


def _of_all(value: Any, size: int) -> list[Any]:
    """The values of all ranks, in their order."""
    data = _packed(value)
    sizes = [torch.empty(1, dtype=torch.int64) for _ in range(size)]
    dist.all_gather(sizes, torch.tensor([len(data)]))
    boxes = [torch.empty(int(max(sizes)), dtype=torch.uint8) for _ in range(size)]
    dist.all_gather(boxes, torch.nn.functional.pad(data, (0, len(boxes[0]) - len(data))))
    return [_unpacked(box[: int(length)]) for box, length in zip(boxes, sizes, strict=True)]


def _packed(value: Any) -> Tensor:
    """A value as bytes."""
    buffer = BytesIO()
    torch.save(value, buffer)
    return torch.frombuffer(bytearray(buffer.getbuffer()), dtype=torch.uint8)


def _unpacked(data: Tensor) -> Any:
    """Tensors, numbers, texts, and lists, tuples and dictionaries of them; anything else is refused."""
    return torch.load(BytesIO(data.numpy().tobytes()), weights_only=True)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in lists of one type and device, of about BUCKET elements each."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        alike = not bucket or (bucket[0].dtype, bucket[0].device) == (tensor.dtype, tensor.device)
        if bucket and (not alike or sum(each.numel() for each in bucket) + tensor.numel() > BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
