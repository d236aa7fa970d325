//! cross_check
