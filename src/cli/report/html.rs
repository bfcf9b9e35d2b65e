//! Writes text into HTML so that it stays text.

/// Escapes a text for the content of an element and for a quoted attribute; what no document may hold is replaced.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Writes a table; every cell is escaped.
#[must_use]
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |name: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
        cells.map(|cell| format!("<{name}>{}</{name}>", escaped(cell))).collect()
    };
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", &mut row.iter().map(String::as_str)))).collect();
    format!(
        "<div class=\"wide\" tabindex=\"0\"><table><thead><tr>{}</tr></thead>\n<tbody>{body}</tbody></table></div>\n",
        cells("th", &mut heads.iter().copied())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(escaped("<a href='x' on=\"y\">&\u{1b}\u{0}\n"), "&lt;a href=&#39;x&#39; on=&quot;y&quot;&gt;&amp;\u{fffd}\u{fffd}\n");
        let text = table(&["<h>"], &[vec!["</td><script>".to_owned()]]);
        assert!(text.contains("<th>&lt;h&gt;</th>") && text.contains("<td>&lt;/td&gt;&lt;script&gt;</td>"), "{text}");
    }
}
