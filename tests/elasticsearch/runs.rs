//! Whole runs, each against indices of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufWriter, Write as _},
    net::TcpListener,
    time::Instant,
};

use ringmill::sdk::arrow_array::{Array as _, cast::AsArray as _};
use ringmill_bench::workload::{Limit, Mix, generate};
use serde_json::{Value, json};

use crate::{
    asked,
    common::{own_captures, text},
    node::Node,
    proxy::{Mood, Proxy},
    scene::Scene,
    spill,
    store::Store,
};

/// What the store has is what is expected, each once.
pub(crate) fn same(found: &BTreeMap<String, usize>, expected: &BTreeSet<String>, what: &str) {
    let missing: Vec<_> = expected.iter().filter(|id| !found.contains_key(*id)).take(5).collect();
    let more: Vec<_> = found.keys().filter(|id| !expected.contains(*id)).take(5).collect();
    let (is, was) = (found.len(), expected.len());
    assert!(missing.is_empty() && more.is_empty(), "{what}: {is} of {was}: {missing:?} {more:?}");
    assert!(found.values().all(|count| *count == 1), "{what}: some are there twice");
}

/// Equal rows have equal ids, and one document.
pub(crate) fn records_can_be_searched(node: &Node) {
    let (store, scene) = (Store::new(&node.url()), Scene::new(&node.url(), "search"));
    let ran = scene.run(&own_captures());
    let (rows, ids) = (scene.rows(), scene.ids());
    assert_eq!(ran.books(), [rows.len() as u64, 0, 0, 0], "{ran:#?}");
    same(&store.ids("search-*"), &ids, "ids");
    let indices = "search-http_request-*,search-http_response-*";
    let distinct = |select: &dyn Fn(&crate::common::Row) -> bool| {
        let rows = rows.iter().filter(|row| select(row));
        rows.map(|row| text(row, "record_id").unwrap()).collect::<BTreeSet<_>>().len() as u64
    };

    // A network, whatever the addresses are called.
    let ip = text(&rows[0], "src_ip").unwrap();
    let network = match ip.split_once('.') {
        Some((first, _)) => format!("{first}.0.0.0/8"),
        None => format!("{ip}/128"),
    };
    let inside = |row: &crate::common::Row| {
        let other = text(row, "src_ip").unwrap();
        match ip.split_once('.') {
            Some((first, _)) => other.split_once('.').is_some_and(|(it, _)| it == first),
            None => other == ip,
        }
    };
    let found = store.count(indices, &json!({"term": {"src_ip": network}}));
    assert_eq!(found, distinct(&inside), "{network}");
    assert!(found > 0);

    // A range of times, to the nanosecond.
    let mut times: Vec<_> = rows.iter().map(|row| text(row, "time").unwrap()).collect();
    times.sort_unstable();
    let (from, to) = (times[times.len() / 4], times[times.len() / 2]);
    let found = store.count(indices, &json!({"range": {"time": {"gte": from, "lt": to}}}));
    let between = |row: &crate::common::Row| (from..to).contains(&text(row, "time").unwrap());
    assert_eq!(found, distinct(&between), "{from} to {to}");
    assert!(found > 0 && found < ids.len() as u64);

    // How many requests each host has.
    let hosts = json!({"size": 0, "aggs": {"hosts": {"terms": {"field": "host", "size": 1000}}}});
    let answer = store.ask("/search-http_request-*/_search", &hosts);
    let buckets = answer["aggregations"]["hosts"]["buckets"].as_array().unwrap();
    assert!(buckets.len() > 5, "{answer}");
    for bucket in buckets {
        let host = bucket["key"].as_str().unwrap();
        let of_host = |row: &crate::common::Row| text(row, "host") == Some(host);
        assert_eq!(bucket["doc_count"], distinct(&of_host), "{host}");
    }

    // A header field without a column, by its name.
    let accepts = |row: &crate::common::Row| {
        row.get("extras").is_some_and(|extras| extras["accept"] == "*/*")
    };
    let found = store.count(indices, &json!({"term": {"extras.accept": "*/*"}}));
    assert_eq!(found, distinct(&accepts));
    assert!(found > 0);

    types(&store);
}

fn types(store: &Store) {
    let path = "/_index_template/search-http_response";
    let template = &store.get(path)["index_templates"][0]["index_template"];
    assert_eq!(
        template["index_patterns"],
        json!(["search-http_response", "search-http_response-*"])
    );
    let columns = &template["template"]["mappings"]["properties"];
    let cases = [
        ("record", "keyword"),
        ("time", "date_nanos"),
        ("ip_version", "short"),
        ("src_ip", "ip"),
        ("dst_ip", "ip"),
        ("src_port", "integer"),
        ("flow", "unsigned_long"),
        ("status_code", "integer"),
        ("server", "keyword"),
        ("content_length", "unsigned_long"),
        ("extras", "flat_object"),
    ];
    for (column, kind) in cases {
        assert_eq!(columns[column]["type"], kind, "{column}");
    }
    assert_eq!(columns["record_id"], Value::Null, "it is the `_id`");
    // What came of it, in an index that a replay finds again.
    let name = "search-http_response-2026.11.23";
    let mapping = store.get(&format!("/{name}/_mapping"));
    assert_eq!(mapping[name]["mappings"]["properties"]["src_ip"]["type"], "ip", "{mapping}");
}

pub(crate) fn sent_twice_is_there_once(node: &Node) {
    let (store, mut scene) = (Store::new(&node.url()), Scene::new(&node.url(), "twice"));
    scene.options = "index_per = \"none\"\nbulk_rows = 50\ngzip = false".to_owned();
    for round in 1..=2 {
        scene.run(&own_captures());
        same(
            &store.ids("twice-http_request,twice-http_response"),
            &scene.ids(),
            &round.to_string(),
        );
    }
}

pub(crate) fn a_data_stream_takes_them_too(node: &Node) {
    let (store, mut scene) = (Store::new(&node.url()), Scene::new(&node.url(), "stream"));
    scene.options = "data_stream = true".to_owned();
    let first = scene.run(&own_captures());
    assert_eq!(first.counter("rows.already_there"), 216 - scene.ids().len() as u64, "{first:#?}");
    let again = scene.run(&own_captures());
    // Each is created once, and what is there counts as taken.
    assert_eq!((again.books(), again.counter("rows.already_there")), ([216, 0, 0, 0], 216));
    let streams = store.get("/_data_stream/stream-*");
    let names: Vec<_> =
        streams["data_streams"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["stream-http_request", "stream-http_response"]);
    same(&store.ids("stream-http_request,stream-http_response"), &scene.ids(), "streams");
}

/// The operator's own template says that hosts are addresses, and stays as it is.
pub(crate) fn what_does_not_fit_is_put_aside_with_the_reason(node: &Node) {
    let (store, scene) = (Store::new(&node.url()), Scene::new(&node.url(), "conflict"));
    let path = "/_index_template/conflict-http_request";
    let mappings = json!({"mappings": {"properties": {
        "host": {"type": "ip"},
        "flow": {"type": "unsigned_long"},
    }}});
    let template = json!({"index_patterns": ["conflict-http_request-*"], "template": mappings});
    store.put(path, &template);
    let ran = scene.run(&own_captures());
    ran.says("the index template `conflict-http_request` is not ours and stays as it is");
    let dead = scene.dead_letters();
    let refused: Vec<String> = dead.iter().flat_map(spill::ids).collect();
    let all = scene.rows().len() as u64;
    let aside = refused.len() as u64;
    assert_eq!(ran.books(), [all - aside, 0, 0, aside], "{ran:#?}");
    let reason = "mapper_parsing_exception: failed to parse field [host] of type [ip]";
    for records in &dead {
        let reasons = records.column_by_name("refused").unwrap().as_string::<i32>();
        assert!(reasons.iter().all(|it| it == Some(reason)), "{reasons:?}");
        // It is about what a host is called.
        let hosts = records.column_by_name("host").unwrap().as_string::<i32>();
        let address =
            |host: Option<&str>| host.is_none_or(|it| it.parse::<std::net::IpAddr>().is_ok());
        assert!(!hosts.iter().any(address) && hosts.len() > 0, "{hosts:?}");
    }
    ran.says(reason);
    let refused: BTreeSet<String> = refused.into_iter().collect();
    let kept = scene.ids().difference(&refused).cloned().collect();
    same(&store.ids("conflict-*"), &kept, "the others");
    let kept = &store.get(path)["index_templates"][0]["index_template"];
    assert_eq!(kept["template"], template["template"]);
}

pub(crate) fn a_store_that_is_away_gets_them_later(node: &Node) {
    let (store, mut scene) = (Store::new(&node.url()), Scene::new(&node.url(), "away"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = std::mem::replace(&mut scene.urls[0], format!("http://{nobody}"));
    scene.options = "drain_seconds = 1".to_owned();
    let ran = scene.run(&own_captures());
    assert_eq!(ran.books(), [0, 216, 0, 0], "{ran:#?}");
    ran.says("cannot be reached: io: Connection refused");
    let ids = scene.ids();
    assert_eq!(scene.spilled(), ids);
    // Another address of the same store; the first one that fails is left out.
    scene.urls.push(url);
    scene.options.clear();
    let ran = scene.run(&own_captures()[..1]);
    assert_eq!(ran.books()[1..], [0, 0, 0], "{ran:#?}");
    let all = ids.union(&scene.ids()).cloned().collect();
    same(&store.ids("away-*"), &all, "later");
}

pub(crate) fn only_rows_that_were_not_taken_are_sent_again(node: &Node) {
    let proxy = Proxy::start(&node.address(), None);
    let (store, mut scene) =
        (Store::new(&node.url()), Scene::new(&format!("http://{}", proxy.address), "half"));
    // Each of its bulks waits for its rows, so that one call takes seconds.
    scene.options = "gzip = false\nbulk_rows = 4\ndrain_seconds = 60".to_owned();
    proxy.mood(Mood::Half);
    let ran = scene.run(&own_captures()[..4]);
    let rows = scene.rows().len() as u64;
    assert_eq!(ran.books(), [rows, 0, 0, 0], "{ran:#?}");
    // Of four two, and of these one; the last bulks of a record type may be smaller.
    let again = ran.counter("rows.sent_again");
    assert!(rows > 12 && (rows / 2..=rows * 3 / 4).contains(&again), "{again} {ran:#?}");
    same(&store.ids("half-*"), &scene.ids(), "halves");
}

pub(crate) fn a_bulk_that_is_too_large_is_divided(node: &Node) {
    let proxy = Proxy::start(&node.address(), None);
    let (store, mut scene) =
        (Store::new(&node.url()), Scene::new(&format!("http://{}", proxy.address), "small"));
    scene.options = "gzip = false".to_owned();
    proxy.mood(Mood::Small(20_000));
    let ran = scene.run(&own_captures());
    assert_eq!(ran.books(), [216, 0, 0, 0], "{ran:#?}");
    same(&store.ids("small-*"), &scene.ids(), "parts");
}

/// What is no store is named, quoted nowhere, and costs nothing.
pub(crate) fn strange_answers_are_a_sentence(node: &Node) {
    let elsewhere = Proxy::start(&node.address(), None);
    let cases = [
        (Mood::Page, "answers 200 with something that Elasticsearch would not say"),
        (Mood::Redirect(format!("http://{}", elsewhere.address)), "answers 302, a redirect"),
        (Mood::Status(403), "does not let us do this (403)"),
        (Mood::Status(429), "has too much to do (429)"),
        (Mood::Status(503), "answers 503"),
    ];
    for (mood, says) in cases {
        let proxy = Proxy::start(&node.address(), None);
        let mut scene = Scene::new(&format!("http://{}", proxy.address), "strange");
        scene.options = "drain_seconds = 1\ntemplate = false".to_owned();
        proxy.mood(mood);
        let ran = scene.run(&own_captures()[..3]);
        let rows = scene.rows().len() as u64;
        assert_eq!(ran.books(), [0, rows, 0, 0], "{ran:#?}");
        ran.says(says);
        assert!(!ran.err.contains("hunter2"), "{ran:#?}");
        assert!(proxy.requests() < 60, "{} requests for {says}", proxy.requests());
    }
    assert_eq!(elsewhere.requests(), 0, "a redirect was followed");
}

/// As many records as the environment says.
#[test]
fn many() {
    let Some(records) = asked("RINGMILL_RECORDS") else { return };
    let Some(node) = Node::start() else { return };
    let (store, scene) = (Store::new(&node.url()), Scene::new(&node.url(), "many"));
    let capture = scene.path("many.pcap");
    let mut out = BufWriter::new(File::create(&capture).unwrap());
    let packets = records * 2 + records / 10;
    let made = generate(Mix::Heavy, Limit::Packets(packets), 1, &mut out).unwrap();
    out.flush().unwrap();
    let started = Instant::now();
    let ran = scene.run(&[capture]);
    let seconds = started.elapsed().as_secs_f64();
    let (rows, ids) = (ran.books()[0], scene.ids());
    assert_eq!(ran.books(), [made.requests + made.responses, 0, 0, 0], "{ran:#?}");
    assert!(rows >= records, "{rows} of {records}: the capture is too small");
    same(&store.ids("many-*"), &ids, "many");
    println!(
        "{rows} rows, {} ids, all there; {seconds:.0} s, {:.0} rows/s",
        ids.len(),
        rows as f64 / seconds
    );
}
