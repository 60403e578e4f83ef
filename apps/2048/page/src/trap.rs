//! What a panic does in WebAssembly: it traps, and JavaScript gets a `RuntimeError`.

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
