// Which GPUs the CUDA kernels of this library were compiled for, as the build was told (ops/_recipe.py), for example
// "7.5,8.0,9.0+PTX"; empty in a library without CUDA. Python reads it before it calls a kernel.
#define STYLERIG_TEXT_OF(...) #__VA_ARGS__
#define STYLERIG_TEXT(...) STYLERIG_TEXT_OF(__VA_ARGS__)

extern "C" __attribute__((visibility("default"))) const char* stylerig_cuda_architectures() {
#if defined(STYLERIG_CUDA_ARCHITECTURES)
  return STYLERIG_TEXT(STYLERIG_CUDA_ARCHITECTURES);
#else
  return "";
#endif
}
