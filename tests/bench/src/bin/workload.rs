//! Writes a synthetic capture: `workload campus --size 1G --seed 1 --out FILE`.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use ringmill_bench::workload::{Attack, Limit, Mix, attack, generate};

/// Writes a synthetic pcap file, the same bytes for the same options.
#[derive(Parser)]
struct Options {
    mix: MixName,
    /// Bytes of the file, with K, M or G for 10^3, 10^6 or 10^9.
    #[arg(long, default_value = "1G", value_parser = size, conflicts_with = "packets")]
    size: u64,
    /// Packets of the file, instead of its size.
    #[arg(long)]
    packets: Option<u64>,
    /// Another seed gives another capture of the same mix.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum MixName {
    /// Campus border: mostly TLS, 3 % heads, mean frame 863 bytes.
    Campus,
    /// Half of the packets are heads, mean frame 728 bytes.
    Heavy,
    /// Frames of 60 bytes, no heads.
    Min64,
    /// 10 % heads, a fifth of them cut in two segments.
    Split,
    /// Heads of 1000 connections in turn, without bodies, to compare attacks with.
    AttackNone,
    /// The same, one byte in a segment.
    AttackBytes,
    /// The same, the bytes in any order.
    AttackShuffled,
    /// SYNs of ever other connections.
    AttackHalfOpen,
    /// Half a head of ever other connections.
    AttackHalfHeads,
    /// Segments of connections with one flow hash.
    AttackCollide,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let limit = options.packets.map_or(Limit::Bytes(options.size), Limit::Packets);
    let file = File::create(&options.out)
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut mix = |mix| generate(mix, limit, options.seed, &mut out);
    let summary = match options.mix {
        MixName::Campus => mix(Mix::Campus),
        MixName::Heavy => mix(Mix::Heavy),
        MixName::Min64 => mix(Mix::Min64),
        MixName::Split => mix(Mix::Split),
        MixName::AttackNone => attack(Attack::None, limit, options.seed, &mut out),
        MixName::AttackBytes => attack(Attack::Bytes, limit, options.seed, &mut out),
        MixName::AttackShuffled => attack(Attack::Shuffled, limit, options.seed, &mut out),
        MixName::AttackHalfOpen => attack(Attack::HalfOpen, limit, options.seed, &mut out),
        MixName::AttackHalfHeads => attack(Attack::HalfHeads, limit, options.seed, &mut out),
        MixName::AttackCollide => attack(Attack::Collide, limit, options.seed, &mut out),
    }?;
    out.flush()?;
    writeln!(
        io::stdout(),
        "{} packets, {} bytes, mean frame {:.1} bytes, {} heads ({} requests, {} responses, \
         {} cut), {} flows",
        summary.packets,
        summary.file_bytes,
        summary.mean_frame(),
        summary.requests + summary.responses,
        summary.requests,
        summary.responses,
        summary.cut,
        summary.flows,
    )?;
    Ok(())
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1_000),
        Some((at, 'M' | 'm')) => (&text[..at], 1_000_000),
        Some((at, 'G' | 'g')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number such as 500M".to_string())?;
    number.checked_mul(factor).ok_or_else(|| "too large".to_string())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        let cases = [
            ("1G", Some(1_000_000_000)),
            ("300M", Some(300_000_000)),
            ("5k", Some(5000)),
            ("17", Some(17)),
            ("", None),
            ("G", None),
            ("-1", None),
            ("99999999999G", None),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }
}
