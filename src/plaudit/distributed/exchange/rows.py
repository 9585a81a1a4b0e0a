"""An exchange of only those rows of embeddings that were read: a batch holds few of the words that are known."""

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch.futures import Future

from plaudit.distributed.exchange.base import DTYPES, GradientExchange, gathered, reduced, scatter

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class Rows(GradientExchange):
    """All-gather of those rows of embeddings that are not zero."""

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Send rows and their numbers, and the rest of the bucket as one vector."""
        dtype, size = DTYPES[self.settings.precision], self.world.size
        weights, gradients = bucket.parameters(), bucket.gradients()
        tables = [g for w, g in zip(weights, gradients, strict=True) if w in self.embeddings]
        others = [g for w, g in zip(weights, gradients, strict=True) if w not in self.embeddings]
        touched = [table.any(1).nonzero().flatten() for table in tables]
        arriving: list[Future[Any]] = []
        for table, most, mine in zip(tables, self._most(touched), touched, strict=True):
            numbers = torch.zeros(most, dtype=torch.int32, device=table.device)
            rows = torch.zeros(most, table.shape[1], dtype=dtype, device=table.device)
            numbers[: len(mine)] = mine.int()
            rows[: len(mine)] = table[mine].to(dtype)  # the others stay zero, and add nothing to row 0
            from_all = [gathered(numbers, size), gathered(rows, size)]

            def add(_: object, table: torch.Tensor = table, parts: Any = from_all) -> torch.Tensor:  # noqa: ANN401
                (_, all_numbers), (_, all_rows) = parts
                table.zero_()
                for indices, values in zip(all_numbers, all_rows, strict=True):
                    table.index_add_(0, indices, values.to(table.dtype) / size)
                return table

            arriving.append(torch.futures.collect_all([future for future, _ in from_all]).then(add))
        if others:
            sent = torch.cat([gradient.flatten() for gradient in others]).to(dtype).div_(size)
            arriving.append(reduced(sent).then(lambda _: scatter(sent, others)))
        return torch.futures.collect_all(arriving).then(lambda _: bucket.buffer())

    def _most(self, touched: list[torch.Tensor]) -> list[int]:
        """Return the greatest number of rows that any rank sends of each embedding."""
        if not touched:
            return []
        counts = torch.tensor([len(rows) for rows in touched], device=touched[0].device)
        dist.all_reduce(counts, dist.ReduceOp.MAX)
        return cast(list[int], counts.tolist())
