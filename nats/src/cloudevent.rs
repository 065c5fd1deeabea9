//! An event as a message: CloudEvents 1.0, binary mode.
