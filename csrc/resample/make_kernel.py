"""Prints the table in kernel.h: `python csrc/resample/make_kernel.py >csrc/resample/kernel.h`.

A sinc with its edge at half of the lower rate under a Kaiser window, which is the right half of a
filter that reaches 14 samples of the lower rate to each side, at six points a sample: 58 dB down
beyond 0.57 of the lower rate (J. F. Kaiser, 1974: transition width and attenuation give the
length).
"""

import numpy as np

REACH, POINTS, ATTENUATION_DB, ONE = 14, 6, 58.0, 1 << 14

at = np.arange(REACH * POINTS + 1) / POINTS
beta = 0.1102 * (ATTENUATION_DB - 8.7)
window = np.i0(beta * np.sqrt(1 - (at / REACH) ** 2)) / np.i0(beta)
kernel = np.rint(ONE * np.sinc(at) * window).astype(int)
rows = [", ".join(map(str, kernel[i : i + 12])) for i in range(0, len(kernel), 12)]
print("/* Made by make_kernel.py: the filter's right half, 14 bits of fraction. */")
print("#ifndef RW_RESAMPLE_KERNEL_H\n#define RW_RESAMPLE_KERNEL_H\n\n#include <stdint.h>\n")
print(f"#define RW_KERNEL_POINTS {POINTS} /* a sample of the lower rate */")
print(f"#define RW_KERNEL_BITS {ONE.bit_length() - 1}\n")
print(f"static const int16_t rw_kernel[{len(kernel)}] = {{")
print("\n".join(f"    {row}," for row in rows))
print("};\n\n#endif")
