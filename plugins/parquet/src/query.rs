//! A line to paste into a shell that asks something of what was written.

use std::path::Path;

/// Of all hours.
const FILES: &str = "**/*.parquet";

/// The ten hosts with most requests, or where there are none a count of the records; `None`
/// for a path that a shell or SQL could not be given.
pub(crate) fn line(directory: &Path, has_host: bool) -> Option<String> {
    let files = directory.join(FILES);
    let files = files.to_str().filter(|path| !path.chars().any(char::is_control))?;
    let directory = files.strip_suffix(FILES)?;
    let sql = |directory: &str| match has_host {
        true => format!(
            "SELECT host, count(*) AS requests FROM '{directory}{FILES}' GROUP BY host ORDER \
             BY requests DESC LIMIT 10"
        ),
        false => format!("SELECT count(*) AS records FROM '{directory}{FILES}'"),
    };
    let plain = |c: char| c.is_alphanumeric() || "/._-+:=@, ".contains(c);
    if directory.chars().all(plain) {
        return Some(format!("duckdb -c \"{}\"", sql(directory)));
    }
    // Quoted three times over: for DuckDB's patterns, for SQL and for the shell, where only
    // single quotes leave `!`, `$` and the backslash alone.
    let mut quoted = String::new();
    for c in directory.chars() {
        match c {
            '*' | '?' | '[' => quoted.extend(['[', c, ']']),
            '\'' => quoted.push_str("''"),
            _ => quoted.push(c),
        }
    }
    Some(format!("duckdb -c '{}'", sql(&quoted).replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_quoted_for_the_shell_for_sql_and_for_patterns() {
        let cases = [
            (
                "out/http_request",
                true,
                "duckdb -c \"SELECT host, count(*) AS requests FROM \
                 'out/http_request/**/*.parquet' GROUP BY host ORDER BY requests DESC LIMIT 10\"",
            ),
            (
                "/srv/my data/dns",
                false,
                "duckdb -c \"SELECT count(*) AS records FROM '/srv/my data/dns/**/*.parquet'\"",
            ),
            (
                "a'b$[c]!",
                false,
                r"duckdb -c 'SELECT count(*) AS records FROM '\''a'\'''\''b$[[]c]!/**/*.parquet'\'''",
            ),
        ];
        for (directory, has_host, expected) in cases {
            assert_eq!(line(Path::new(directory), has_host).as_deref(), Some(expected));
        }
        assert_eq!(line(Path::new("a\nb"), true), None);
    }

    #[test]
    fn a_shell_hands_the_query_over_unharmed() {
        for directory in
            ["out", "a b", "$HOME", "`id`", "a'b", "a\"b", r"a\b", "a;b&c|d", "~", "-x"]
        {
            let line = line(Path::new(directory), false).unwrap();
            let command = line.replacen("duckdb -c", "printf %s", 1);
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            let quoted = directory.replace('\'', "''");
            let sql = format!("SELECT count(*) AS records FROM '{quoted}/**/*.parquet'");
            assert_eq!(String::from_utf8(output.stdout).unwrap(), sql, "{line}");
        }
    }
}
