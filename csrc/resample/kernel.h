/* Made by make_kernel.py: the filter's right half, 14 bits of fraction. */
#ifndef RW_RESAMPLE_KERNEL_H
#define RW_RESAMPLE_KERNEL_H

#include <stdint.h>

#define RW_KERNEL_POINTS 6 /* a sample of the lower rate */
#define RW_KERNEL_BITS 14

static const int16_t rw_kernel[85] = {
    16384, 15640, 13531, 10398, 6737, 3102, 0,    -2197, -3313, -3380, -2617, -1364, 0,
    1135,  1807,  1928,  1548,  832,  0,    -725, -1177, -1276, -1038, -564,  0,     501,
    820,   894,   732,   400,   0,    -358, -586, -641,  -525,  -287,  0,     257,   421,
    460,   377,   206,   0,     -183, -300, -327, -267,  -145,  0,     129,   210,   227,
    185,   100,   0,     -88,   -142, -153, -124, -67,   0,     57,    92,    99,    79,
    42,    0,     -36,   -57,   -60,  -47,  -25,  0,     20,    32,    33,    25,    13,
    0,     -10,   -15,   -15,   -11,  -6,   0,
};

#endif
