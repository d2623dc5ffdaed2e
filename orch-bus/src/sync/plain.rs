//! What is the same in programs and under shuttle, which looks for no races.

/// Tells loom who reads and who owns what this lies in. Here it is nothing.
#[derive(Debug)]
pub(crate) struct Life;

impl Life {
    pub(crate) const fn new() -> Self {
        Self
    }

    /// Somebody reads, or writes atomics.
    pub(crate) const fn shared(&self) {}

    /// The caller has it alone.
    pub(crate) const fn alone(&self) {}
}

/// Gives memory back, at once: the next node often has the same address. Loom must not do so.
pub(crate) fn free<T>(memory: Box<T>) {
    drop(memory);
}
