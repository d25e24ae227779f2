"""Programs that the tests run, as texts (``csrc/core/program.h``)."""

from __future__ import annotations

from scatcuda.plan import Plan


def images(plan: Plan) -> str:
    """The cascade of images of a plan, as the fused kernels do it."""
    J, L, (m, n) = plan.J, plan.L, plan.output
    pads = [(padded - side) for side, padded in zip((plan.M, plan.N), plan.padded, strict=True)]
    axes = [
        str(side) if plan.pre_pad else f"{side}r{pad // 2}+{pad - pad // 2}"
        for side, pad in zip((plan.M, plan.N), pads, strict=True)
    ]
    tables = list(plan.tables())
    text = [f"x {' '.join(axes)}", f"S {plan.channels} {m} {n}"]
    text += ["psi {} {} {}".format(L, *plan.sides(res)) for res, _ in tables]
    for res in range(J):
        rows, columns = plan.sides(res)
        text += [f"phi {m} {rows}", f"phi {n} {columns}"]
    text.append("average x by 0 1 at 0")
    steps, second = 1, 1 + J * L
    for j1 in range(J) if plan.max_order > 0 else ():
        first, k = steps, 1 << j1
        text.append(f"wavelet x {tables.index((0, j1))} /{k} /{k} modulus")
        text.append(f"average {first} by {2 * j1} {2 * j1 + 1} at {1 + j1 * L}+1")
        steps += 2
        coarser = range(j1 + 1, J) if plan.max_order > 1 else range(0)
        for j2 in coarser:
            table, k = tables.index((j1, j2)), 1 << (j2 - j1)
            channel = second + (j2 - j1 - 1) * L
            text.append(f"wavelet {first} {table} /{k} /{k} modulus")
            matrices = f"{2 * j2} {2 * j2 + 1}"
            text.append(f"average {steps} by {matrices} at {channel}+{L * len(coarser)}+1")
            steps += 2
        second += L * L * len(coarser)
    return ";".join(text)
