//! What the test guest and whoever runs it (a VMM on Linux, a bare-metal host at EL1) agree on.
#![no_std]
#![forbid(unsafe_code)]
