//! samspel
fn main() {}
