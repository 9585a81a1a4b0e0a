"""An exchange of only those rows of embeddings that have a gradient: a batch holds few of all known words."""

from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
from torch.futures import Future

from plaudit.distributed.exchange.base import (
    DTYPES,
    GradientExchange,
    Message,
    flatten,
    send_sum,
    send_to_all,
    unflatten,
    when_arrived,
)

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class Rows(GradientExchange):
    """All-gather of the rows of embeddings' gradients that are not zero, all-reduce of everything else."""

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Send rows and their numbers, and the rest of the bucket as one vector."""
        tables: list[torch.Tensor] = []
        others: list[torch.Tensor] = []
        for weight, gradient in zip(bucket.parameters(), bucket.gradients(), strict=True):
            (tables if weight in self.embeddings else others).append(gradient)
        messages = self._send_rows(tables)
        if others:
            messages.append(self._send_whole(others))
        return when_arrived(messages, bucket.buffer())

    def _send_rows(self, tables: list[torch.Tensor]) -> list[Message]:
        """Send the rows of each table that are not zero; every rank sends as many as the one with the most."""
        if not tables:
            return []
        rows_of_tables = [table.any(1).nonzero().flatten() for table in tables]
        counts = torch.tensor([len(rows) for rows in rows_of_tables], device=tables[0].device)
        dist.all_reduce(counts, dist.ReduceOp.MAX)
        messages = []
        for table, rows, count in zip(tables, rows_of_tables, cast(list[int], counts.tolist()), strict=True):
            messages += self._send_table(table, rows, count)
        return messages

    def _send_table(self, table: torch.Tensor, rows: torch.Tensor, count: int) -> list[Message]:
        """Send `rows` of a table, filled up to `count` with zeros, which add nothing to row 0."""
        size, dtype = self.world.size, DTYPES[self.settings.precision]
        numbers = torch.zeros(count, dtype=torch.int32, device=table.device)
        values = torch.zeros(count, table.shape[1], dtype=dtype, device=table.device)
        numbers[: len(rows)] = rows.int()
        values[: len(rows)] = table[rows].to(dtype)
        all_numbers: list[torch.Tensor] = []

        def add(all_values: list[torch.Tensor]) -> None:
            table.zero_()
            for of_rank, added in zip(all_numbers, all_values, strict=True):
                table.index_add_(0, of_rank, added.to(table.dtype) / size)

        return [send_to_all(numbers, size, all_numbers.extend), send_to_all(values, size, add)]

    def _send_whole(self, gradients: list[torch.Tensor]) -> Message:
        vector = flatten(gradients).to(DTYPES[self.settings.precision]).div_(self.world.size)
        return send_sum(vector, lambda: unflatten(vector, gradients))
