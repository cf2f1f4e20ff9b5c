//! The little JSON that the commands print: text, lists of text, flat objects.

use std::fmt::Write;

/// A string literal.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if u32::from(control) < 0x20 => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A list of string literals.
pub(crate) fn strings(texts: &[String]) -> String {
    list(&texts.iter().map(|text| string(text)).collect::<Vec<_>>())
}

/// A list of values that are JSON already.
pub(crate) fn list(values: &[String]) -> String {
    format!("[{}]", values.join(","))
}

/// An object of values that are JSON already.
pub(crate) fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}:{value}", string(name))).collect();
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_literal_is_escaped() {
        assert_eq!(string("a\"b\\c\nd\u{1}µ"), r#""a\"b\\c\nd\u0001µ""#);
    }

    #[test]
    fn objects_and_lists_nest() {
        let list = strings(&["x".into(), "y".into()]);
        assert_eq!(object(&[("a", list), ("n", "3".into())]), r#"{"a":["x","y"],"n":3}"#);
    }
}
