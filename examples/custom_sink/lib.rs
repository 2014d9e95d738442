//! A whole sink: sends the host of each request to a server, which answers an empty line with a
//! byte once all before it is safe. Queue, retries, spill and ledger are the engine's.
use std::{io::prelude::*, net::TcpStream};

use ringmill_sdk::{arrow_array::cast::AsArray, prelude::*};

options! {
    /// Options of `[[sink]] use = "hosts"`.
    pub struct Options {
        /// Host and port of the server.
        server: String,
    }
}
struct Hosts(String, Option<TcpStream>);

impl Sink for Hosts {
    const NAME: &'static str = "hosts";
    const NETWORK: bool = true;
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, _: &Host) -> Result<Self> {
        Ok(Self(options.server, None))
    }
    fn write(&mut self, records: &RecordBatch) -> Result {
        let Some(hosts) = records.column_by_name("host") else { return Ok(()) };
        let mut stream = self.1.take().map_or_else(|| TcpStream::connect(&self.0), Ok)?;
        let lines = hosts.as_string::<i32>().iter().flatten().map(|host| format!("{host}\n"));
        stream.write_all(lines.collect::<String>().as_bytes())?;
        self.1 = Some(stream); // One that failed is not used again.
        Ok(())
    }
    fn flush(&mut self) -> Result {
        let Some(mut stream) = self.1.take() else { return Ok(()) };
        stream.write_all(b"\n").and_then(|()| stream.read_exact(&mut [0]))?;
        self.1 = Some(stream);
        Ok(())
    }
}
export_plugin!(sink Hosts);
