"""Products with a triangular stencil and solves by its recursion.

Term ``t`` of a matrix row couples pixel ``p`` to ``p + di[t]*width + dj[t]`` by the coefficient that starts at
``values[base[t] + step[t]*p]``; term 0 is the diagonal, terms with ``step == 0`` come before the others. The transposed
matrix is the same with mirrored offsets and ``base`` moved to the neighbour. Nothing wraps. Images are (batch, n).
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COLUMNS = 1024


@subroutine(fastmath={"contract"})
def _accumulate(
    sign: float,
    row: int,
    low: int,
    high: int,
    width: int,
    terms: int,
    dj: Ints,
    shift: Ints,
    base: Ints,
    step: Ints,
    values: Floats,
    source: Floats,
    target: Floats,
) -> None:
    """``target[p] += sign * sum_t a_t[p] * source[p + shift_t]`` on columns ``low <= j < high`` of one image row."""
    inner_low = low
    inner_high = high
    for t in range(terms):
        inner_low = max(inner_low, -dj[t])
        inner_high = min(inner_high, width - dj[t])
    if inner_high <= inner_low:
        inner_low = high
        inner_high = high
    for t in range(terms):
        # What this term reaches outside the columns that all terms reach.
        first = max(low, -dj[t])
        last = min(high, width - dj[t])
        for p in range(row + first, row + min(last, inner_low)):
            target[p] += sign * values[base[t] + step[t] * p] * source[p + shift[t]]
        for p in range(row + max(first, inner_high), row + last):
            target[p] += sign * values[base[t] + step[t] * p] * source[p + shift[t]]
    count = inner_high - inner_low
    if count == 0:
        return
    p = row + inner_low
    y = target[p : p + count]
    t = 0
    while t < terms:
        x0 = source[p + shift[t] : p + shift[t] + count]
        more = terms - t
        if step[t] == 0:
            a0 = sign * values[base[t]]
            if more >= 4 and step[t + 3] == 0:
                a1 = sign * values[base[t + 1]]
                a2 = sign * values[base[t + 2]]
                a3 = sign * values[base[t + 3]]
                x1 = source[p + shift[t + 1] : p + shift[t + 1] + count]
                x2 = source[p + shift[t + 2] : p + shift[t + 2] + count]
                x3 = source[p + shift[t + 3] : p + shift[t + 3] + count]
                for j in range(count):
                    y[j] += a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
                t += 4
            elif more >= 2 and step[t + 1] == 0:
                a1 = sign * values[base[t + 1]]
                x1 = source[p + shift[t + 1] : p + shift[t + 1] + count]
                for j in range(count):
                    y[j] += a0 * x0[j] + a1 * x1[j]
                t += 2
            else:
                for j in range(count):
                    y[j] += a0 * x0[j]
                t += 1
        else:
            plane0 = values[base[t] + p : base[t] + p + count]
            if more >= 2:
                plane1 = values[base[t + 1] + p : base[t + 1] + p + count]
                x1 = source[p + shift[t + 1] : p + shift[t + 1] + count]
                for j in range(count):
                    y[j] += sign * (plane0[j] * x0[j] + plane1[j] * x1[j])
                t += 2
            else:
                for j in range(count):
                    y[j] += sign * (plane0[j] * x0[j])
                t += 1


@subroutine()
def _terms_on_image(
    i: int,
    height: int,
    width: int,
    own_row: bool,
    di: Ints,
    dj: Ints,
    base: Ints,
    step: Ints,
    row_dj: Ints,
    row_shift: Ints,
    row_base: Ints,
    row_step: Ints,
) -> int:
    """List the terms that image row `i` has, its diagonal excluded, those within the row only if `own_row`."""
    terms = 0
    for t in range(1, len(di)):
        if 0 <= i + di[t] < height and (own_row or di[t] != 0):
            row_dj[terms] = dj[t]
            row_shift[terms] = di[t] * width + dj[t]
            row_base[terms] = base[t]
            row_step[terms] = step[t]
            terms += 1
    return terms


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply_rows(
    item_first: int,
    item_last: int,
    first: int,
    last: int,
    height: int,
    width: int,
    di: Ints,
    dj: Ints,
    base: Ints,
    step: Ints,
    values: Floats,
    x: Floats,
    y: Floats,
) -> None:
    """``y = A x`` on image rows ``first <= i < last`` of some items; one unknown per pixel."""
    row_dj = np.empty(len(di), np.int64)
    row_shift = np.empty(len(di), np.int64)
    row_base = np.empty(len(di), np.int64)
    row_step = np.empty(len(di), np.int64)
    for item in range(item_first, item_last):
        source = x[item]
        target = y[item]
        for i in range(first, last):
            row = i * width
            terms = _terms_on_image(i, height, width, True, di, dj, base, step, row_dj, row_shift, row_base, row_step)
            for low in range(0, width, COLUMNS):
                high = min(width, low + COLUMNS)
                x_row = source[row + low : row + high]
                y_row = target[row + low : row + high]
                if step[0]:
                    d = values[base[0] + row + low : base[0] + row + high]
                    for j in range(high - low):
                        y_row[j] = d[j] * x_row[j]
                else:
                    shared = values[base[0]]
                    for j in range(high - low):
                        y_row[j] = shared * x_row[j]
                _accumulate(
                    1.0, row, low, high, width, terms, row_dj, row_shift, row_base, row_step, values, source, target
                )


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def solve_tile(
    item_first: int,
    item_last: int,
    first: int,
    last: int,
    skew_first: int,
    skew_last: int,
    shear: int,
    backward: bool,
    height: int,
    width: int,
    di: Ints,
    dj: Ints,
    base: Ints,
    step: Ints,
    values: Floats,
    b: Floats,
    x: Floats,
) -> None:
    """``x = A^-1 b`` on one tile of some items, ``b`` may be ``x``; one unknown per pixel.

    Rows and columns count in the order of elimination, from the last pixel if `backward`. The tile is
    ``first <= i < last``, ``skew_first <= j + shear*i < skew_last``; what it reads outside itself must be solved.
    ``x_p = (b_p - sum_k w_pk x_{p+o_k}) / d_p``: other rows first, then the row's own recursion.
    """
    terms = len(di)
    span = min(width, skew_last - skew_first)
    reach = 0
    for t in range(1, terms):
        if di[t] == 0:
            reach = max(reach, abs(dj[t]))
    direction = -1 if backward else 1
    margin = max(4, reach)
    shared = False
    ones = np.ones(span)
    reciprocal = np.full(span, 1.0 / values[base[0]])
    # In the order of elimination, the latter behind the last solved pixels:
    weight = np.zeros((margin, span))
    line = np.empty(margin + span)
    ahead = np.empty(span)
    power = np.empty(span)
    row_dj = np.empty(terms, np.int64)
    row_shift = np.empty(terms, np.int64)
    row_base = np.empty(terms, np.int64)
    row_step = np.empty(terms, np.int64)
    for t in range(1, terms):
        if di[t] == 0 and step[t] == 0 and step[0] == 0:
            weight[abs(dj[t]) - 1] = -values[base[t]] / values[base[0]]
            shared = True
    for item in range(item_first, item_last):
        solution = x[item]
        for place in range(first, last):
            low = max(0, skew_first - shear * place)
            high = min(width, skew_last - shear * place)
            if high <= low:
                continue
            count = high - low
            solved = low
            i = place
            if backward:
                low = width - high
                high = low + count
                i = height - 1 - place
            row = i * width
            x_row = solution[row + low : row + high]
            b_row = b[item, row + low : row + high]
            for j in range(count):
                x_row[j] = b_row[j]
            others = _terms_on_image(i, height, width, False, di, dj, base, step, row_dj, row_shift, row_base, row_step)
            _accumulate(
                -1.0, row, low, high, width, others, row_dj, row_shift, row_base, row_step, values, solution, solution
            )
            if step[0]:
                d = values[base[0] + row + low : base[0] + row + high]
                for j in range(count):
                    reciprocal[j] = 1.0 / d[j]
            if reach == 0:
                for j in range(count):
                    x_row[j] *= reciprocal[j]
                continue
            for t in range(1, terms):
                if di[t] == 0 and step[t]:
                    # The row's first pixels have no neighbour: coefficients that may lie beyond the array are not read.
                    cut = min(count, max(0, abs(dj[t]) - solved))
                    weight[abs(dj[t]) - 1, :cut] = 0.0
                    start = base[t] + row + (low if backward else low + cut)
                    plane = values[start : start + count - cut]
                    over = reciprocal[: count - cut] if backward else reciprocal[cut:count]
                    _scale(backward, -1.0, plane, over, weight[abs(dj[t]) - 1, cut:count])
                elif di[t] == 0 and step[0]:
                    _scale(backward, -values[base[t]], ones, reciprocal, weight[abs(dj[t]) - 1, :count])
            first_pixel = row + (high - 1 if backward else low)
            for m in range(1, margin + 1):
                line[margin - m] = solution[first_pixel - direction * m] if m <= solved else 0.0
            _scale(backward, 1.0, x_row, reciprocal, line[margin : margin + count])
            if reach == 1:
                _recur_by_fours(count, shared, weight[0], line[margin - 1 : margin + count], ahead, power)
            else:
                _recur(count, margin, reach, weight, line)
            _scale(backward, 1.0, line[margin : margin + count], ones, x_row)


@subroutine()
def _scale(backward: bool, factor: float, a: Floats, b: Floats, target: Floats) -> None:
    """``target = factor a b``, read from the end if `backward`."""
    count = len(target)
    if backward:  # unsigned, because an index that might be negative keeps the loop from vectorizing
        end = np.uint64(count - 1)
        for j in range(np.uint64(count)):
            target[j] = factor * a[end - j] * b[end - j]
    else:
        for j in range(count):
            target[j] = factor * a[j] * b[j]


@subroutine(fastmath={"contract"})
def _recur_by_fours(count: int, shared: bool, a: Floats, x: Floats, ahead: Floats, power: Floats) -> None:
    """``x_j += a_j x_{j-1}`` in place, ``x_0`` standing before the `count` pixels; ``a_j`` may be one `shared` number.

    Four steps at once, ``x_j = u_j + (a_j a_{j-1} a_{j-2} a_{j-3}) x_{j-4}``: the ``u_j`` and powers are vectors that
    wait for nothing, and four chains of fused multiply-adds run side by side.
    """
    rest = max(0, count - 4)
    t0 = x[5 : 5 + rest]
    t1 = x[4 : 4 + rest]
    t2 = x[3 : 3 + rest]
    t3 = x[2 : 2 + rest]
    if shared:
        a1 = a[0]
        a2 = a1 * a1
        for j in range(rest):
            ahead[j] = t0[j] + a1 * t1[j] + a2 * (t2[j] + a1 * t3[j])
            power[j] = a2 * a2
    else:
        w0 = a[4 : 4 + rest]
        w1 = a[3 : 3 + rest]
        w2 = a[2 : 2 + rest]
        w3 = a[1 : 1 + rest]
        for j in range(rest):
            pair = w0[j] * w1[j]
            ahead[j] = t0[j] + w0[j] * t1[j] + pair * (t2[j] + w2[j] * t3[j])
            power[j] = pair * (w2[j] * w3[j])
    for j in range(min(4, count)):
        x[j + 1] += a[j] * x[j]
    whole = rest // 4 * 4
    if whole > 0:
        y0 = x[1]
        y1 = x[2]
        y2 = x[3]
        y3 = x[4]
        for j in range(0, whole, 4):
            y0 = ahead[j] + power[j] * y0
            y1 = ahead[j + 1] + power[j + 1] * y1
            y2 = ahead[j + 2] + power[j + 2] * y2
            y3 = ahead[j + 3] + power[j + 3] * y3
            t0[j] = y0
            t0[j + 1] = y1
            t0[j + 2] = y2
            t0[j + 3] = y3
    for j in range(whole, rest):
        x[5 + j] = ahead[j] + power[j] * x[1 + j]


@subroutine(fastmath={"contract"})
def _recur(count: int, margin: int, reach: int, a: Floats, x: Floats) -> None:
    """``x_j += sum_m a_mj x_{j-m}`` in place, `margin` pixels standing before the `count` pixels.

    The nearest neighbour enters last, so that one fused multiply-add per pixel is all that waits for the pixel before.
    """
    x1 = x[margin - 1]
    x2 = x[margin - 2]
    x3 = x[margin - 3]
    x4 = x[margin - 4]
    for j in range(count):
        total = x[margin + j]
        for m in range(reach, 4, -1):
            total += a[m - 1, j] * x[margin + j - m]
        total += a[3, j] * x4
        total += a[2, j] * x3
        total += a[1, j] * x2
        total += a[0, j] * x1
        x[margin + j] = total
        x4 = x3
        x3 = x2
        x2 = x1
        x1 = total


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply_block_rows(
    item_first: int,
    item_last: int,
    first: int,
    last: int,
    height: int,
    width: int,
    channels: int,
    transposed: bool,
    di: Ints,
    dj: Ints,
    base: Ints,
    step: Ints,
    values: Floats,
    x: Floats,
    y: Floats,
) -> None:
    """``y = A x`` on image rows ``first <= i < last`` of some items; ``channels`` unknowns per pixel."""
    down = 1 if transposed else channels
    along = channels if transposed else 1
    for item in range(item_first, item_last):
        for i in range(first, last):
            for j in range(width):
                p = i * width + j
                for c in range(channels):
                    total = 0.0
                    for t in range(len(di)):
                        if 0 <= i + di[t] < height and 0 <= j + dj[t] < width:
                            block = base[t] + step[t] * p + c * down
                            q = (p + di[t] * width + dj[t]) * channels
                            for d in range(channels):
                                total += values[block + d * along] * x[item, q + d]
                    y[item, p * channels + c] = total


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def solve_block_tile(
    item_first: int,
    item_last: int,
    first: int,
    last: int,
    skew_first: int,
    skew_last: int,
    shear: int,
    backward: bool,
    height: int,
    width: int,
    channels: int,
    transposed: bool,
    di: Ints,
    dj: Ints,
    base: Ints,
    step: Ints,
    values: Floats,
    b: Floats,
    x: Floats,
) -> None:
    """``x = A^-1 b`` on one tile as in `solve_tile`, ``channels`` unknowns per pixel, channels in the pixels' order."""
    down = 1 if transposed else channels
    along = channels if transposed else 1
    for item in range(item_first, item_last):
        for place in range(first, last):
            i = height - 1 - place if backward else place
            for column in range(max(0, skew_first - shear * place), min(width, skew_last - shear * place)):
                j = width - 1 - column if backward else column
                p = i * width + j
                for position in range(channels):
                    c = channels - 1 - position if backward else position
                    total = b[item, p * channels + c]
                    for t in range(1, len(di)):
                        if 0 <= i + di[t] < height and 0 <= j + dj[t] < width:
                            block = base[t] + step[t] * p + c * down
                            q = (p + di[t] * width + dj[t]) * channels
                            for d in range(channels):
                                total -= values[block + d * along] * x[item, q + d]
                    block = base[0] + step[0] * p + c * down
                    for earlier in range(position):
                        d = channels - 1 - earlier if backward else earlier
                        total -= values[block + d * along] * x[item, p * channels + d]
                    x[item, p * channels + c] = total / values[block + c * along]
