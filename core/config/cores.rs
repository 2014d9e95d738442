//! A set of processor cores, as `taskset` and `numactl` write it.

use std::fmt;
use std::ops::Range;

/// The cores that workers are pinned to, in the order they were written, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreSet(Vec<usize>);

/// What is wrong with a core list, and which bytes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadCores {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl CoreSet {
    /// The highest core number that is believed; beyond it lies a typing mistake.
    pub(super) const LAST: usize = 4095;

    /// Reads `2-9` or `0,2,4-6`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadCores> {
        let mut cores = Self(Vec::new());
        let mut at = 0;
        for part in text.split(',') {
            let start = at + (part.len() - part.trim_start().len());
            let trimmed = part.trim();
            cores
                .add(trimmed)
                .map_err(|message| BadCores { span: start..start + trimmed.len(), message })?;
            at += part.len() + 1;
        }
        Ok(cores)
    }

    /// Adds one core or one range.
    pub(super) fn add(&mut self, part: &str) -> Result<(), String> {
        let number = |text: &str| match text.trim().parse::<usize>() {
            Ok(core) if core <= Self::LAST => Ok(core),
            Ok(_) => {
                Err(format!("there is no core {}; the last can be {}", text.trim(), Self::LAST))
            }
            Err(_) if part.is_empty() => Err("a core number is missing here".to_owned()),
            Err(_) => Err(format!("`{part}` is neither a core (4) nor a range of cores (2-9)")),
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(format!("the range `{part}` runs backwards; write {last}-{first}"));
        }
        for core in first..=last {
            if self.0.contains(&core) {
                return Err(format!("core {core} is named twice; two workers would share it"));
            }
            self.0.push(core);
        }
        Ok(())
    }

    /// No core at all, to be filled with [`add`](Self::add).
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// The core numbers, in the order they were written.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// How many cores there are.
    #[expect(clippy::len_without_is_empty, reason = "a core set in a config is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for run in self.0.chunk_by(|a, b| a + 1 == *b) {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            match run {
                [only] => write!(f, "{comma}{only}")?,
                [low, .., high] => write!(f, "{comma}{low}-{high}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CoreSet;

    #[test]
    fn core_lists() {
        let cases: &[(&str, Result<&str, &str>)] = &[
            ("2-9", Ok("2-9")),
            ("0,2,4-6", Ok("0,2,4-6")),
            (" 3 , 1 - 2 ", Ok("3,1-2")),
            ("7", Ok("7")),
            ("", Err("0..0 a core number is missing here")),
            ("1,,2", Err("2..2 a core number is missing here")),
            ("1,2-", Err("2..4 `2-` is neither a core (4) nor a range of cores (2-9)")),
            ("-1", Err("0..2 `-1` is neither a core (4) nor a range of cores (2-9)")),
            ("9-2", Err("0..3 the range `9-2` runs backwards; write 2-9")),
            ("1,1", Err("2..3 core 1 is named twice; two workers would share it")),
            ("0-99999999", Err("0..10 there is no core 99999999; the last can be 4095")),
        ];
        for (text, wanted) in cases {
            let got = CoreSet::parse(text)
                .map(|cores| cores.to_string())
                .map_err(|bad| format!("{:?} {}", bad.span, bad.message));
            assert_eq!(got.as_deref().map_err(String::as_str), *wanted, "{text:?}");
        }
    }
}
