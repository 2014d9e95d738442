//! Plugins that are broken in every way we know: one clear sentence each, no crash, and the
//! engine alive where it can be. Through the real binary, in a process of its own.

#[path = "plugins/build.rs"]
mod build;
#[path = "plugins/child.rs"]
mod child;

#[test]
fn try_it() {
    for (name, edits, flags) in VARIANTS {
        let path = build::incompatible(name, edits, flags);
        let ran = child::run(child::engine().arg("plugin").arg(path));
        println!("== {name}\n{}", ran.stderr);
    }
}

const VARIANTS: &[(&str, &[build::Edit], &[&str])] = &[
    (
        "type_of_a_field",
        &[
            ("src/packet.rs", "    flow_hash: u64,\n", "    flow_hash: u32,\n"),
            ("src/packet.rs", "        self.flow_hash\n", "        self.flow_hash.into()\n"),
            ("src/packet.rs", "self.flow_hash = hash;", "self.flow_hash = hash as u32;"),
        ],
        &[],
    ),
    (
        "name_of_a_field",
        &[
            ("src/packet.rs", "    flow_hash: u64,\n", "    flow: u64,\n"),
            ("src/packet.rs", "            flow_hash: 0,", "            flow: 0,"),
            ("src/packet.rs", "self.flow_hash", "self.flow"),
        ],
        &[],
    ),
    (
        "order_of_fields",
        &[(
            "src/packet.rs",
            "    wire_len: u32,\n    payload_len: u32,\n",
            "    payload_len: u32,\n    wire_len: u32,\n",
        )],
        &[],
    ),
    (
        "one_field_more",
        &[
            (
                "src/packet.rs",
                "    packets: RVec<Packet<'a>>,\n",
                "    packets: RVec<Packet<'a>>,\n    epoch: u64,\n",
            ),
            (
                "src/packet.rs",
                "RVec::with_capacity(BATCH) }",
                "RVec::with_capacity(BATCH), epoch: 0 }",
            ),
            ("src/packet.rs", "packets: packets.into() }", "packets: packets.into(), epoch: 0 }"),
        ],
        &[],
    ),
    (
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
        &[],
    ),
    (
        "parameter_of_a_function",
        &[
            ("src/abi/mod.rs", "fn(*mut Instance, i64, REmit)", "fn(*mut Instance, u64, REmit)"),
            ("src/abi/export.rs", "now: i64", "now: u64"),
            ("src/abi/export.rs", "Timestamp(now)", "Timestamp(now as i64)"),
            ("src/abi/remote.rs", "(this, now.0, back)", "(this, now.0 as u64, back)"),
        ],
        &[],
    ),
    (
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
        &[],
    ),
    (
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
        &[],
    ),
    (
        "unsafe_of_a_function",
        &[
            ("src/abi/mod.rs", "pub options: extern", "pub options: unsafe extern"),
            ("src/abi/remote.rs", "self.0.options()()", "unsafe { self.0.options()() }"),
        ],
        &[],
    ),
    (
        "host",
        &[("src/host.rs", "    count: AtomicU64,", "    count: AtomicU64,\n    at: u64,")],
        &[],
    ),
    ("release", &[("Cargo.toml", "\nversion.workspace = true", "\nversion = \"0.2.0\"")], &[]),
    (
        "patch_release",
        &[("Cargo.toml", "\nversion.workspace = true", "\nversion = \"0.1.9\"")],
        &[],
    ),
    ("semantics", &[("src/abi/mod.rs", "SEMANTICS: u32 = 1", "SEMANTICS: u32 = 2")], &[]),
    ("aborts", &[], &["-Cpanic=abort"]),
];
