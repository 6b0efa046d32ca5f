// Lets a torch that was built without CUDA name cuda devices. Entering one does nothing, autograd takes them for the
// accelerator, and page-locked memory is ordinary memory that is remembered. Loaded before anything asks torch for the
// hooks: see guard.py.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <map>
#include <mutex>

namespace {

std::mutex lock;
std::map<const char*, size_t> pinned;  // first byte and size of every page-locked block

void unpin(void* block) {
  {
    const std::lock_guard<std::mutex> guard(lock);
    pinned.erase(static_cast<const char*>(block));
  }
  std::free(block);
}

struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* block = std::malloc(bytes > 0 ? bytes : 1);
    const std::lock_guard<std::mutex> guard(lock);
    pinned[static_cast<const char*>(block)] = bytes;
    return {block, block, &unpin, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &unpin; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override { return device; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override { return device; }
  int getNumGPUs() const override { return 1; }
  void deviceSynchronize(c10::DeviceIndex) const override {}
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static PinnedAllocator allocator;
    return &allocator;
  }
  bool isPinnedPtr(const void* address) const override {
    const std::lock_guard<std::mutex> guard(lock);
    const auto* byte = static_cast<const char*>(address);
    auto after = pinned.upper_bound(byte);
    if (after == pinned.begin()) {
      return false;
    }
    const auto& [first, bytes] = *std::prev(after);
    return byte < first + bytes;
  }
};

struct Guard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  static c10::Device only() { return {c10::DeviceType::CUDA, 0}; }
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, only()); }
  c10::Device getDevice() const override { return only(); }
  c10::Device exchangeDevice(c10::Device) const override { return only(); }
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getNewStream(c10::Device, int = 0) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};

}  // namespace

namespace at {
using PretendedHooks = ::Hooks;
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, PretendedHooks);
}  // namespace at

using PretendedGuard = Guard;
C10_REGISTER_GUARD_IMPL(CUDA, PretendedGuard);
