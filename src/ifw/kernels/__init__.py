"""Native kernels for CPUs: a C++ library, built with the package where there is a compiler, loaded with ctypes."""
