//! The engine as a library, with a sink of the program's own linked in.
//!
//! `cargo run -p ringmill-example-embed -- CAPTURE...` prints how many requests each status
//! code answered.

use std::{collections::BTreeMap, env, error::Error, path::Path};

use ringmill::{Engine, config};
use ringmill_sdk::{
    Factory,
    arrow_array::{cast::AsArray, types::UInt16Type},
    prelude::{Host, NoOptions, RecordBatch, Result, Sink},
};

const CONFIG: &str = r#"
[capture]
from = "file"
files = ["-"]

[[stage]]
use = "decode"
[[stage]]
use = "classify"
[[stage]]
use = "http"
[[stage]]
use = "redact"
[[stage]]
use = "truncate"

[[sink]]
use = "status_codes"
"#;

#[derive(Default)]
struct StatusCodes {
    count: BTreeMap<u16, u64>,
}

impl Sink for StatusCodes {
    const NAME: &'static str = "status_codes";
    type Config = NoOptions;

    fn new(_: NoOptions, _: &Host) -> Result<Self> {
        Ok(Self::default())
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        let codes = records.column_by_name("status_code");
        let codes = codes.and_then(|column| column.as_primitive_opt::<UInt16Type>());
        for code in codes.into_iter().flatten().flatten() {
            *self.count.entry(code).or_default() += 1;
        }
        Ok(())
    }

    #[allow(clippy::print_stdout, reason = "this program's standard output is this list")]
    fn flush(&mut self) -> Result {
        for (code, count) in &self.count {
            println!("{code} {count}");
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = config::parse(Path::new("(in the program)"), CONFIG.to_owned())?;
    let config = config.with_files(env::args().skip(1).collect());
    let engine = Engine::with(config, &[Factory::sink::<StatusCodes>()])?;
    let outcome = engine.run(|_| ())?;
    match outcome.is_good() {
        true => Ok(()),
        false => Err(outcome.failures.join("\n").into()),
    }
}
