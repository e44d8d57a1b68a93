"""How many floating-point operations a second does one thread reach in matrix products alone?

    python -m benchmarks.speed.arithmetic

Prints the operations a second, in thousands of millions, of products of 256×256 matrices: the median over blocks of a
tenth of a second, for three seconds.
"""

import statistics
import time

import torch

SIZE = 256
SAC_UPDATE = 581.6e6
"""Floating-point operations in the matrix products of one update of SAC on HalfCheetah-v5 at 256×256, batch 256: two
for each of 256 samples and of 1,135,872 multiplications. 287,488 of these belong to the policy (forwards at s' and at
s, back to its weights and through its two last layers) and 848,384 to two critics (forwards of the targets, forwards at
(s, a), back to the weights and through two layers; forwards at (s, π(s)) and back to the action)."""


def main() -> None:
    torch.set_num_threads(1)
    x, y, out = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE), torch.empty(SIZE, SIZE)
    rates = []
    for _ in range(30):
        began, count = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < 0.1:
            torch.mm(x, y, out=out)
            count += 1
        rates.append(2 * SIZE**3 * count / took / 1e9)
    print(statistics.median(rates))


if __name__ == "__main__":
    main()
