# The flags of every compiler call, as plain variables: cmake/recipe.cmake applies them, and a script
# can read them (tests/native/kernels.py).

set(SCATCUDA_WARNING_FLAGS -Wall -Wextra -Werror)
# What turns some errors in memory into an end of the program; -U, since a compiler that fortifies by
# itself warns of another level.
set(SCATCUDA_HARDENED_FLAGS -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
set(SCATCUDA_HARDENED_LINK -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
# The engine for CPUs is not hardened: it calls no function of libc that could be fortified, and holds
# lines of vectors on its stack, for which every pass of every transform would check it.
set(SCATCUDA_ENGINE_FLAGS -fno-math-errno -fno-trapping-math -fno-stack-protector)
set(SCATCUDA_ISAS baseline avx2 avx512)
set(SCATCUDA_baseline)
set(SCATCUDA_avx2 -mavx2 -mfma)
set(SCATCUDA_avx512 ${SCATCUDA_avx2} -mavx512f -mavx512dq -mavx512vl -mavx512bw)
# Float square roots to the last bit but one take one instruction, exact ones a dozen and a branch.
set(SCATCUDA_NVCC_FLAGS -prec-sqrt=false)
# PyTorch 2.10's stable ABI and Python 3.10's limited API: one library for all later ones.
set(SCATCUDA_STABLE_ABI TORCH_TARGET_VERSION=0x020a000000000000 Py_LIMITED_API=0x030a0000)
