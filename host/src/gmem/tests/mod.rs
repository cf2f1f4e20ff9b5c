//! What both trees promise.
