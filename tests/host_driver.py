"""pytest plugin: the simulator's tests on numba-cuda's own array class, whose memory is the host's here.

    NUMBA_DISABLE_JIT=1 python -m pytest -p host_driver tests/test_twins.py tests/test_place.py

The simulator has an array class of its own, which takes more than the one that meets a GPU (slices, views and shapes of empty arrays,
indices from the end). This puts numba-cuda's class on a driver that is made of NumPy, and runs the kernels as the simulator does.
"""
import contextlib
import ctypes

import numba
import numpy as np
from numba import cuda
from numba.cuda.cudadrv import devicearray, devices, driver
from numba.cuda.simulator import kernel as simulator


class Memory:
    """What numba-cuda calls a pointer to memory of the device, which is full of garbage at first."""
    __cuda_memory__ = True

    def __init__(self, context=None, pointer=None, size=0, data=None):
        self.data = np.full(size, 0xA5, np.uint8) if data is None else data
        self.size = self.data.size

    def view(self, start, stop=None):
        stop = self.size if stop is None else stop
        if not 0 <= start <= stop <= self.size:
            raise IndexError(f"bytes {start} to {stop} of {self.size}")
        return Memory(data=self.data[start:stop])

    @property
    def device_ctypes_pointer(self):
        return ctypes.c_void_p(self.data.ctypes.data)


class Context:
    """A device that has as much memory as is asked for."""

    def memalloc(self, size):
        return Memory(size=size)

    def get_default_stream(self):
        return 0


def memory_of(value):
    return getattr(value, "gpu_data", value).data


def upload(to, array, size, stream=0):
    memory_of(to)[:size] = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)[:size]


def download(array, source, size, stream=0):
    array.view(np.uint8).reshape(-1)[:size] = memory_of(source)[:size]


def move(to, source, size, stream=0):
    memory_of(to)[:size] = memory_of(source)[:size]


def seen_by_kernels(value):
    if not isinstance(value, devicearray.DeviceNDArray):
        return value
    whole = np.empty(value.shape, value.dtype) if value.size == 0 else np.ndarray(value.shape, value.dtype, value.gpu_data.data,
                                                                                  strides=value.strides)
    return simulator.FakeCUDAArray(whole)


class Kernel(simulator.FakeCUDAKernel):
    """A kernel of the simulator that takes numba-cuda's arrays."""

    def __call__(self, *arguments):
        inside = self._device or simulator._kernel_context is not None
        return super().__call__(*(arguments if inside else map(seen_by_kernels, arguments)))


def jit(function=None, device=False, **options):
    return Kernel(function, device) if function else lambda function: Kernel(function, device)


numba.config.ENABLE_CUDASIM = True  # after numba.cuda, which is the real one then
devices.get_context = lambda *device: Context()
devices._runtime.ensure_context = contextlib.nullcontext
driver.MemoryPointer = Memory
driver.host_to_device, driver.device_to_host, driver.device_to_device = upload, download, move
cuda.jit = jit
