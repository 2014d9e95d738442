//! Plugins that were built with another SDK.

use crate::{
    check_sentence,
    child::{engine, run},
    make::{Edit, incompatible},
    none_failed,
};

/// A change of the SDK, and what is said of a plugin that was built with it; nothing where it
/// loads.
struct Row {
    name: &'static str,
    edits: &'static [Edit],
    flags: &'static [&'static str],
    says: &'static str,
}

impl Row {
    const fn new(name: &'static str, edits: &'static [Edit], says: &'static str) -> Self {
        Self { name, edits, flags: &[], says }
    }
}

/// Differs in its last number only.
const LATER: &str = concat!(
    "\nversion = \"",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR"),
    ".999\""
);

const ROWS: &[Row] = &[
    Row::new("unchanged", &[], ""),
    Row::new("later_release", &[("Cargo.toml", "\nversion.workspace = true", LATER)], ""),
    Row::new(
        "function_after_the_last",
        &[
            (
                "src/abi/mod.rs",
                "    pub query: extern \"C\" fn(RStr<'_>) -> *const c_void,\n}\n\n/// What [`StageVt",
                "    pub query: extern \"C\" fn(RStr<'_>) -> *const c_void,\n    pub pause: extern \
                 \"C\" fn(RStr<'_>) -> *const c_void,\n}\n\n/// What [`StageVt",
            ),
            (
                "src/abi/export.rs",
                "        query,\n    };",
                "        query,\n        pause: no_query,\n    };",
            ),
        ],
        "",
    ),
    Row::new(
        "other_release",
        &[("Cargo.toml", "\nversion.workspace = true", "\nversion = \"99.0.0\"")],
        "it was built with ringmill-sdk 99.0.0 by {rustc} (interface 1); this engine needs {sdk} \
         (interface 1): rebuild it with that",
    ),
    Row::new(
        "other_meaning",
        &[("src/abi/mod.rs", "SEMANTICS: u32 = 1", "SEMANTICS: u32 = 77")],
        "it was built with ringmill-sdk {sdk} by {rustc} (interface 77); this engine needs {sdk} \
         (interface 1): rebuild it with that",
    ),
    Row {
        name: "panics_abort",
        edits: &[],
        flags: &["-Cpanic=abort"],
        says: "it was built with `panic = \"abort\"`, so a panic in it would end the engine; set \
               `panic = \"unwind\"` in its profile and rebuild it",
    },
    Row::new(
        "type_of_a_field",
        &[
            ("src/packet.rs", "    flow_hash: u64,\n", "    flow_hash: u32,\n"),
            ("src/packet.rs", "        self.flow_hash\n", "        self.flow_hash.into()\n"),
            ("src/packet.rs", "self.flow_hash = hash;", "self.flow_hash = hash as u32;"),
        ],
        "its binary interface differs (Packet.flow_hash: u64 here, u32 in the plugin); {rebuild}",
    ),
    Row::new(
        "name_of_a_field",
        &[
            ("src/packet.rs", "    flow_hash: u64,\n", "    flow: u64,\n"),
            ("src/packet.rs", "            flow_hash: 0,", "            flow: 0,"),
            ("src/packet.rs", "self.flow_hash", "self.flow"),
        ],
        "its binary interface differs (Packet.flow_hash here is Packet.flow in the plugin); \
         {rebuild}",
    ),
    Row::new(
        "order_of_fields",
        &[(
            "src/packet.rs",
            "    wire_len: u32,\n    payload_len: u32,\n",
            "    payload_len: u32,\n    wire_len: u32,\n",
        )],
        "its binary interface differs (Packet: its fields have another order in the plugin); \
         {rebuild}",
    ),
    Row::new(
        "one_field_more",
        &[
            (
                "src/packet.rs",
                "    keeper: ROption<Keeper<'a>>,\n",
                "    keeper: ROption<Keeper<'a>>,\n    epoch: u64,\n",
            ),
            ("src/packet.rs", "keeper: ROption::RNone }", "keeper: ROption::RNone, epoch: 0 }"),
        ],
        "its binary interface differs (Batch.epoch is in the plugin only); {rebuild}",
    ),
    Row::new(
        "field_of_a_counter",
        &[("src/host.rs", "    count: AtomicU64,", "    count: AtomicU64,\n    at: u64,")],
        "its binary interface differs (CounterCell.at is in the plugin only); {rebuild}",
    ),
    Row::new(
        "one_function_more",
        &[
            (
                "src/abi/mod.rs",
                "    pub take_error: unsafe",
                "    pub pause: extern \"C\" fn(RStr<'_>) -> *const c_void,\n    pub take_error: unsafe",
            ),
            (
                "src/abi/export.rs",
                "        take_error: take_error",
                "        pause: no_query,\n        take_error: take_error",
            ),
        ],
        "its binary interface differs (StageVt.pause is in the plugin only); {rebuild}",
    ),
    Row::new(
        "type_of_a_parameter",
        &[
            ("src/abi/mod.rs", "fn(*mut Instance, i64, REmit)", "fn(*mut Instance, u64, REmit)"),
            ("src/abi/export.rs", "now: i64", "now: u64"),
            ("src/abi/export.rs", "Timestamp(now)", "Timestamp(now as i64)"),
            ("src/abi/remote.rs", "(this, now.0, back)", "(this, now.0 as u64, back)"),
        ],
        "its binary interface differs (StageVt.tick: unsafe fn(*mut Instance, i64, REmit) -> u32 \
         here, unsafe fn(*mut Instance, u64, REmit) -> u32 in the plugin); {rebuild}",
    ),
    Row::new(
        "one_parameter_more",
        &[
            (
                "src/abi/mod.rs",
                "fn(*mut Instance, i64, REmit)",
                "fn(*mut Instance, i64, u64, REmit)",
            ),
            ("src/abi/export.rs", "now: i64,", "now: i64, _: u64,"),
            ("src/abi/remote.rs", "(this, now.0, back)", "(this, now.0, 0, back)"),
        ],
        "its binary interface differs (StageVt.tick: unsafe fn(*mut Instance, i64, REmit) -> u32 \
         here, unsafe fn(*mut Instance, i64, u64, REmit) -> u32 in the plugin); {rebuild}",
    ),
    Row::new(
        "result_of_a_function",
        &[
            (
                "src/abi/mod.rs",
                "pub destroy: unsafe extern \"C\" fn(*mut Instance)",
                "pub destroy: unsafe extern \"C\" fn(*mut Instance) -> Status",
            ),
            (
                "src/abi/export.rs",
                "fn destroy<S: Stage>(instance: *mut Instance) {",
                "fn destroy<S: Stage>(instance: *mut Instance) -> Status {",
            ),
            ("src/abi/export.rs", "own.stage.discard();", "own.stage.discard();\n    OK"),
            (
                "src/abi/remote.rs",
                "self.table.destroy()(self.instance.as_ptr()) }",
                "self.table.destroy()(self.instance.as_ptr()) };",
            ),
        ],
        "its binary interface differs (StageVt.destroy: unsafe fn(*mut Instance) here, unsafe \
         fn(*mut Instance) -> u32 in the plugin); {rebuild}",
    ),
    Row::new(
        "unsafe_of_a_function",
        &[
            ("src/abi/mod.rs", "pub options: extern", "pub options: unsafe extern"),
            ("src/abi/remote.rs", "self.0.options()()", "unsafe { self.0.options()() }"),
        ],
        "its binary interface differs (StageVt.options: fn() -> RVec here, unsafe fn() -> RVec in \
         the plugin); {rebuild}",
    ),
];

#[test]
fn a_plugin_of_another_sdk_is_told_what_differs() {
    let mut failures = Vec::new();
    for Row { name, edits, flags, says } in ROWS {
        let path = incompatible(name, edits, flags);
        if says.is_empty() {
            let ran = run(engine().arg("plugin").arg(&path));
            if ran.code != Some(0) || !ran.stderr.is_empty() {
                failures.push(format!("{name}: does not load: {ran:#?}"));
            }
            continue;
        }
        let says = says.replace(
            "{rebuild}",
            "rebuild it with ringmill-sdk {sdk} (it was built with {sdk} by {rustc})",
        );
        failures.extend(check_sentence(name, &path, &says).err());
    }
    none_failed(failures);
}
