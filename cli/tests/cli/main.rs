//! The binary as people use it: real processes, real servers, a home and ports of its own for each test.

mod dev;
mod history;
mod offline;
mod sandbox;
