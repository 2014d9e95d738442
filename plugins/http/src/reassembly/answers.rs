//! Which response belongs to which request.
//!
//! In the order of both, as long as nothing was missed. After a loss in either direction, and
//! where the beginning was not seen, that would pair request 1 with response 2; then a
//! response is paired only with the request whose sender awaited exactly the byte with which
//! it begins (its acknowledgment number), which is so for every client that does not pipeline.
//! Where that is not so either, it comes out without a request.

use ringmill_sdk::Result;

use super::{
    Count, MOST_HELD, Reassembly,
    messages::Message,
    pairs::{self, Request},
    segment::ahead,
    table::{Dir, Flow, NONE, State},
    units,
    work::Held,
};
use crate::{
    boundary,
    framing::{Body, Framing, Method},
    head::{Flags, Head, Kind},
    heads::Heads,
    rows::Told,
};

impl Reassembly {
    /// A request: its row, and what is kept for its response.
    pub(super) fn request(
        &mut self,
        id: u32,
        d: usize,
        message: &Message<'_>,
        heads: &mut Heads,
    ) -> Result<Body> {
        let room = if self.table.flow(id).requests < pairs::MOST {
            self.has_room(id, units(message.seen.time), heads)?
        } else {
            self.count(Count::NoBuffer);
            false
        };
        let before = self.table.dir(id, d).has(Dir::BEFORE);
        let flow = self.table.flow_mut(id);
        flow.exchange = flow.exchange.saturating_add(1);
        let exchange = flow.exchange;
        let told = Told { flags: message.flags, exchange: Some(exchange), ..Told::default() };
        let taken = heads.add(Kind::Request, &message.seen, message.head, &told);
        if room {
            let request = Request {
                method: taken.framing.method,
                end: message.end,
                exchange,
                awaited: message.ack,
                unsure: before || flow.has(Flow::MISSED),
                ..Request::default()
            };
            if flow.pending == NONE {
                flow.clear(Flow::ASKS_1);
                flow.set(if d == 1 { Flow::ASKS_1 } else { 0 });
            }
            flow.requests += 1;
            let asked = heads.rows(Kind::Request).asked();
            if before {
                self.pairs.push_first(&mut flow.pending, request, &asked);
            } else {
                flow.clear(Flow::MISSED);
                self.pairs.push(&mut flow.pending, request, &asked);
            }
        } else {
            flow.set(Flow::UNSURE | Flow::MISSED);
        }
        heads.settle(Kind::Request)?;
        if self.table.dir(id, 1 - d).work != NONE {
            self.answer(id, 1 - d, heads)?;
        }
        Ok(taken.framing.request())
    }

    /// A response: its row, or it waits for its request. What follows it.
    pub(super) fn response(
        &mut self,
        id: u32,
        d: usize,
        message: &Message<'_>,
        heads: &mut Heads,
    ) -> Result<Body> {
        let dir = *self.table.dir(id, d);
        let before = dir.has(Dir::BEFORE);
        let others_wait =
            !before && self.works.get(dir.work).is_some_and(|work| !work.held.is_empty());
        let paired = !others_wait && self.find_request(id, d, message.seq, before);
        let method = match self.pairs.get(self.table.flow(id).pending) {
            Some(request) if paired => Some(request.method),
            _ => None,
        };
        let framing = if !paired && self.may_wait(id, d, message, others_wait, heads)? {
            let mut framing = Framing::default();
            message.head.read(Kind::Response, &mut framing);
            self.hold(id, d, message, framing);
            framing
        } else {
            let Message { seen, flags, .. } = *message;
            let held = Held {
                seen,
                seq: message.seq,
                ack: message.ack,
                before,
                head: Vec::new(),
                flags,
                framing: Framing::default(),
            };
            self.write(id, &held, message.head, paired, heads)?
        };
        let after = boundary::is_status_line(message.after);
        Ok(self.after(id, d, &framing, method, after))
    }

    /// What follows a response. Where its request is not known it may have been HEAD, and
    /// another head where its body would be shows that it was.
    fn after(
        &mut self,
        id: u32,
        d: usize,
        framing: &Framing,
        method: Option<Method>,
        another: bool,
    ) -> Body {
        let body = framing.response(method.unwrap_or_default());
        if matches!(body, Body::Tunnel | Body::Upgrade) {
            // The client's direction is another protocol as well.
            let other = self.table.dir(id, 1 - d);
            other.state = if body == Body::Tunnel { State::Lost } else { State::Other };
        }
        if method.is_none() && matches!(body, Body::Bytes(1..) | Body::Chunked | Body::UntilClose) {
            if another {
                return Body::None;
            }
            self.table.dir(id, d).set(Dir::DOUBT);
        }
        body
    }

    /// The request of the last response came after it: what follows that need not be guessed.
    fn learn(&mut self, id: u32, d: usize, framing: &Framing, method: Method) {
        let dir = self.table.dir(id, d);
        if method == Method::Other || !dir.has(Dir::DOUBT) {
            return;
        }
        if dir.state == State::Ready {
            // Back to where the body would have begun.
            dir.next = dir.next.wrapping_sub(dir.left);
        }
        dir.clear(Dir::DOUBT | Dir::SKIPPING);
        let body = self.after(id, d, framing, Some(method), false);
        self.body(id, d, body);
    }

    /// Waits no longer for the request of the last response that waits, to go on behind it.
    pub(super) fn go_on(&mut self, id: u32, d: usize) {
        let work = self.table.dir(id, d).work;
        let framing = self.works.framing(work).unwrap_or_default();
        let next = self.table.dir(id, d).next;
        let early = self.works.get(work).and_then(|work| work.early.front());
        let another = early.is_some_and(|early| {
            let segment = early.segment();
            segment.seq == next && boundary::is_status_line(segment.bytes)
        });
        let body = self.after(id, d, &framing, None, another);
        self.body(id, d, body);
        self.table.dir(id, d).set(Dir::WAITED);
    }

    /// Whether the first of the pending requests is that of the response with this first byte;
    /// `before` for one from before where its direction was taken up.
    fn find_request(&mut self, id: u32, d: usize, seq: u32, before: bool) -> bool {
        let awaits_before = self.awaits_before(id, d, None);
        let flow = self.table.flow_mut(id);
        if flow.pending == NONE || flow.has(Flow::ASKS_1) == (d == 1) {
            return false;
        }
        if before {
            return self.pairs.bring_first(&mut flow.pending, seq);
        }
        let first = self.pairs.get(flow.pending);
        if !flow.has(Flow::UNSURE) && first.is_some_and(|first| !first.unsure) {
            return true;
        }
        // The responses to those before it may still come.
        if awaits_before {
            let found = self.pairs.bring_first(&mut flow.pending, seq);
            flow.clear(if found { Flow::UNSURE } else { 0 });
            return found;
        }
        // Those that awaited less were answered by what was missed, or nobody can tell.
        while let Some(request) = self.pairs.get_mut(flow.pending) {
            match request.awaited.map(|awaited| ahead(awaited, seq)) {
                Some(0) => {
                    request.unsure = false;
                    flow.clear(Flow::UNSURE);
                    return true;
                }
                Some(1..) => return false,
                _ => {
                    self.pairs.pop(&mut flow.pending);
                    flow.requests -= 1;
                    self.tally[Count::Unanswered as usize] += 1;
                }
            }
        }
        false
    }

    /// Whether the request may still come, and there is room to wait.
    fn may_wait(
        &mut self,
        id: u32,
        d: usize,
        message: &Message<'_>,
        others_wait: bool,
        heads: &mut Heads,
    ) -> Result<bool> {
        if message.flags.has(Flags::INCOMPLETE) {
            return Ok(false);
        }
        let before = self.awaits_before(id, 1 - d, message.ack);
        let flow = self.table.flow(id);
        let other = flow.dirs[(1 - d) & 1];
        let not_yet = match other.state {
            State::Other => false,
            State::Unknown => !flow.has(Flow::ONE_WAY),
            State::Head => true,
            // The server has received what was not seen yet.
            _ => before || message.ack.is_some_and(|ack| ahead(ack, other.next) > 0),
        };
        let work = flow.dirs[d & 1].work;
        if self.works.get(work).is_some_and(|work| work.held.len() >= MOST_HELD) {
            self.release_first(id, d, false, heads)?;
        }
        Ok((not_yet || others_wait) && self.has_room(id, units(message.seen.time), heads)?)
    }

    fn hold(&mut self, id: u32, d: usize, message: &Message<'_>, framing: Framing) {
        if self.table.dir(id, d).work == NONE {
            self.table.dir(id, d).work = self.works.add(id);
        }
        let Message { seen, seq, ack, flags, .. } = *message;
        let dir = self.table.dir(id, d);
        dir.clear(Dir::WAITED);
        let (work, before) = (dir.work, dir.has(Dir::BEFORE));
        let head = self.works.spare.copy(message.head.bytes());
        self.works.hold(work, Held { seen, seq, ack, before, head, flags, framing });
    }

    /// A request came: the responses that waited for it.
    fn answer(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        loop {
            let work = self.table.dir(id, d).work;
            let Some(front) = self.works.get(work).and_then(|work| work.held.front()) else {
                break;
            };
            let (seq, ack, before) = (front.seq, front.ack, front.before);
            let paired = self.find_request(id, d, seq, before);
            if !paired && (!self.is_past(id, seq) || self.awaits_before(id, 1 - d, ack)) {
                break;
            }
            self.release_first(id, d, paired, heads)?;
        }
        self.drain(id, d, heads)
    }

    /// Whether the first of the pending requests was sent after the response with this first
    /// byte had come.
    fn is_past(&self, id: u32, seq: u32) -> bool {
        let first = self.pairs.get(self.table.flow(id).pending);
        first.and_then(|first| first.awaited).is_some_and(|awaited| ahead(awaited, seq) > 0)
    }

    /// The first response that waits has waited for too long.
    pub(super) fn release_late(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        let other = *self.table.dir(id, 1 - d);
        if other.state == State::Unknown {
            self.table.flow_mut(id).set(Flow::ONE_WAY);
        }
        // What the server has acknowledged is not sent again: behind the gap may be the request.
        let ack =
            self.works.get(self.table.dir(id, d).work).and_then(|work| work.held.front()?.ack);
        if ack.is_some_and(|ack| ahead(ack, other.next) > 0)
            && self.works.get(other.work).is_some_and(|work| work.gap(other.state).is_some())
        {
            return self.give_up(id, 1 - d, heads);
        }
        self.release_first(id, d, false, heads)?;
        self.answer(id, d, heads)
    }

    /// The first response that waits comes out; `paired` with the first of the pending requests
    /// or without one.
    fn release_first(&mut self, id: u32, d: usize, paired: bool, heads: &mut Heads) -> Result {
        let Dir { work, state, .. } = *self.table.dir(id, d);
        let request = self.pairs.get(self.table.flow(id).pending).filter(|_| paired);
        let method = request.map(|request| request.method);
        // It is the last one behind which the stream has stopped.
        let stopped = state == State::Waiting
            && self.works.get(work).is_some_and(|work| work.held.len() == 1);
        if stopped && method.is_none() {
            self.go_on(id, d);
        }
        let Some(held) = self.works.take_held(work) else { return Ok(()) };
        self.write(id, &held, Head::Bytes(&held.head), paired, heads)?;
        if let Some(method) = method {
            if stopped {
                let body = self.after(id, d, &held.framing, Some(method), false);
                self.body(id, d, body);
            } else if !held.before && self.works.get(work).is_none_or(|it| it.held.is_empty()) {
                self.learn(id, d, &held.framing, method);
            }
        }
        self.works.spare.give_back(held.head);
        Ok(())
    }

    /// The row of a response.
    fn write(
        &mut self,
        id: u32,
        response: &Held,
        head: Head<'_, '_>,
        paired: bool,
        heads: &mut Heads,
    ) -> Result<Framing> {
        let flow = self.table.flow_mut(id);
        let request = self.pairs.get(flow.pending).filter(|_| paired);
        let mut told = Told { flags: response.flags, ..Told::default() };
        match request {
            Some(request) => {
                let ttfb = response.seen.time.0.saturating_sub(request.end);
                told.exchange = Some(request.exchange);
                told.asked = Some(request.asked());
                told.ttfb = Some(ttfb).filter(|ttfb| *ttfb >= 0);
            }
            None => {
                told.flags.set(Flags::NO_REQUEST);
                // It is an exchange of its own, unless a request is there that may be its.
                told.exchange = (flow.pending == NONE).then_some(flow.exchange.saturating_add(1));
            }
        }
        let taken = heads.add(Kind::Response, &response.seen, head, &told);
        heads.settle(Kind::Response)?;
        let is_final = !taken.framing.is_interim();
        if paired && is_final {
            self.pairs.pop(&mut flow.pending);
            flow.requests -= 1;
        } else if !paired {
            if is_final && flow.pending == NONE {
                flow.exchange = flow.exchange.saturating_add(1);
            }
            self.tally[Count::NoRequest as usize] += 1;
        }
        Ok(taken.framing)
    }
}
