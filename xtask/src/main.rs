//! The project's own commands: build, run, test, vm, bench.
fn main() {}
