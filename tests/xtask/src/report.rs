//! What a suite found, and how it is shown.

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not, and what was seen instead.
    Fail(String),
    /// It could not be tried here, and why.
    Skip(String),
}

/// One case of a suite.
#[derive(Clone, Debug)]
pub struct Case {
    /// A fact, as `refused_share_changes_nothing`, or a row id.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
}
