//! Says in one phrase how two layouts differ.
//!
//! `abi_stable` prints 10 to 80 KB about it. The same errors are there as data, and what an
//! author needs is the one type that was changed: not the types that contain it, which
//! differ because it does, and not what hides between them (`RVec`, pointers, wrappers).

use std::iter;

use abi_stable::{
    abi_stability::abi_checking::{
        AbiInstability, AbiInstabilityError, check_layout_compatibility,
    },
    type_layout::{TLFieldOrFunction, TLFunction, TypeLayout},
};

/// The same thing here and in the plugin.
type Pair<T> = (T, T);

/// `Packet.flow_hash: u64 here, u32 in the plugin`; `None` where the layouts agree.
pub(super) fn first_difference(
    ours: &'static TypeLayout,
    theirs: &'static TypeLayout,
) -> Option<String> {
    let errors = check_layout_compatibility(ours, theirs).err()?.errors;
    // Each type on the way to a difference is listed too, with no error of its own.
    let told = || errors.iter().filter(|error| !error.errs.is_empty());
    // A type of another size holds a field that differs, and that one comes later.
    let cause = told().find(|error| error.errs.iter().any(|error| !is_about_size(error)));
    let Some(error) = cause.or_else(|| told().next()) else {
        return Some("it is not known where".to_owned());
    };
    let steps = error.stack_trace.iter().map(|step| Step::new(step.expected, step.found));
    let way: Vec<_> = iter::once(Step::Type("", (ours, theirs))).chain(steps).collect();
    Some(describe(&way, error))
}

fn is_about_size(error: &AbiInstability) -> bool {
    matches!(error, AbiInstability::Size(_) | AbiInstability::Alignment(_))
}

fn describe(way: &[Step], error: &AbiInstabilityError) -> String {
    if error.errs.iter().any(|why| matches!(why, AbiInstability::Name(_)))
        && let Some(text) = other_type(way)
    {
        return text;
    }
    match way {
        [before @ .., Step::Call(functions)] => signature(before, functions),
        [.., Step::Type(_, (ours, theirs))] => {
            other_fields(ours, theirs).unwrap_or_else(|| other_way(error, ours, theirs))
        }
        _ => "what it exports is of another kind".to_owned(),
    }
}

/// One step on the way from the root to the difference.
enum Step {
    /// A field, a parameter or a result of this name.
    Type(&'static str, Pair<&'static TypeLayout>),
    Call(Box<Pair<TLFunction>>),
    /// `abi_stable` compares like with like.
    Mixed,
}

impl Step {
    fn new(ours: TLFieldOrFunction, theirs: TLFieldOrFunction) -> Self {
        match (ours, theirs) {
            (TLFieldOrFunction::Field(ours), TLFieldOrFunction::Field(theirs)) => {
                Self::Type(ours.name(), (ours.layout(), theirs.layout()))
            }
            (TLFieldOrFunction::Function(ours), TLFieldOrFunction::Function(theirs)) => {
                Self::Call(Box::new((ours, theirs)))
            }
            _ => Self::Mixed,
        }
    }

    /// The type in which the next step lies, where it is one that our authors know.
    fn owner(&self) -> Option<&'static str> {
        match self {
            Self::Type(_, (ours, _)) => ours.package().starts_with("ringmill").then(|| ours.name()),
            _ => None,
        }
    }
}

/// A field, a parameter or a result has another type: named in the nearest type of ours
/// around it, since `NonNull.0` says nothing.
fn other_type(way: &[Step]) -> Option<String> {
    let Step::Type(_, leaf) = way.last()? else { return None };
    for (at, step) in way.iter().enumerate().skip(1).rev() {
        if let Step::Call(functions) = &way[at - 1] {
            return Some(signature(&way[..at - 1], functions));
        }
        if let (Some(owner), Step::Type(name, types)) = (way[at - 1].owner(), step) {
            let mut names = [name_of(types.0), name_of(types.1)];
            if names[0] == names[1] {
                names = [name_of(leaf.0), name_of(leaf.1)];
            }
            let [here, there] = names;
            return Some(format!("{owner}.{name}: {here} here, {there} in the plugin"));
        }
    }
    None
}

/// The first field that is missing, new, renamed or out of order.
fn other_fields(ours: &'static TypeLayout, theirs: &'static TypeLayout) -> Option<String> {
    let names = |layout: &'static TypeLayout| -> Vec<&'static str> {
        layout
            .get_fields()
            .map(|fields| fields.iter().map(|field| field.name()).collect())
            .unwrap_or_default()
    };
    let (owner, ours, theirs) = (ours.name(), names(ours), names(theirs));
    let at = (0..ours.len().max(theirs.len())).find(|&at| ours.get(at) != theirs.get(at))?;
    let here = ours.get(at).filter(|name| !theirs.contains(name));
    let there = theirs.get(at).filter(|name| !ours.contains(name));
    Some(match (here, there) {
        (Some(here), Some(there)) => {
            format!("{owner}.{here} here is {owner}.{there} in the plugin")
        }
        (Some(here), None) => format!("{owner}.{here} is missing in the plugin"),
        (None, Some(there)) => format!("{owner}.{there} is in the plugin only"),
        (None, None) => format!("{owner}: its fields have another order in the plugin"),
    })
}

/// The same type and the same fields, and yet not the same.
fn other_way(error: &AbiInstabilityError, ours: &TypeLayout, theirs: &TypeLayout) -> String {
    let (owner, here, there) = (ours.name(), ours, theirs);
    if here.size() != there.size() {
        let (here, there) = (here.size(), there.size());
        return format!("{owner}: {here} bytes here, {there} in the plugin");
    }
    if here.alignment() != there.alignment() {
        let (here, there) = (here.alignment(), there.alignment());
        return format!("{owner}: aligned to {here} bytes here, to {there} in the plugin");
    }
    if error.errs.iter().any(|why| matches!(why, AbiInstability::PackageVersion(_))) {
        let ((package, here), (_, there)) =
            (here.package_and_version(), there.package_and_version());
        return format!("{owner}: of {package} {here} here, {there} in the plugin");
    }
    format!("{owner}: not the same in the plugin")
}

/// A function takes or returns other things; the parameters have no names that one could
/// point at, so the whole of it is shown.
fn signature(before: &[Step], (ours, theirs): &Pair<TLFunction>) -> String {
    let owner = before.iter().rev().find_map(Step::owner).unwrap_or("the root");
    let name = ours.name;
    let (here, there) = (written(ours), written(theirs));
    if here == there {
        return format!("{owner}.{name}: {here} of other lifetimes in the plugin");
    }
    format!("{owner}.{name}: {here} here, {there} in the plugin")
}

fn written(function: &TLFunction) -> String {
    let parameters: Vec<_> =
        function.param_type_layouts.iter().map(|layout| name_of(layout())).collect();
    let before = if function.fn_qualifs.is_unsafe() { "unsafe " } else { "" };
    let mut text = format!("{before}fn({})", parameters.join(", "));
    if let Some(layout) = function.return_type_layout() {
        text.push_str(" -> ");
        text.push_str(&name_of(layout()));
    }
    text
}

/// `&mut Batch` where `abi_stable` says `&'a  mut Batch<'a> `.
fn name_of(layout: &'static TypeLayout) -> String {
    let text =
        layout.full_type().to_string().replace("<'a>", "").replace("'a, ", "").replace("'a ", " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("& mut", "&mut")
}

#[cfg(test)]
mod tests {
    use abi_stable::{StableAbi, std_types::RVec};

    use super::first_difference;

    /// A type and another of the same name, as another release of a crate would have it.
    macro_rules! releases {
        ($($case:ident: { $($ours:tt)* } { $($theirs:tt)* })*) => {$(
            mod $case {
                pub(super) mod ours {
                    use super::super::*;
                    #[repr(C)] #[derive(StableAbi)] pub(in super::super) struct Slot { $($ours)* }
                }
                pub(super) mod theirs {
                    use super::super::*;
                    #[repr(C)] #[derive(StableAbi)] pub(in super::super) struct Slot { $($theirs)* }
                }
            }
        )*};
    }

    #[repr(C)]
    #[derive(StableAbi)]
    struct Inner<T> {
        wide: T,
    }

    releases! {
        equal: { a: u32 } { a: u32 }
        narrower: { a: u64, b: u64 } { a: u64, b: u32 }
        smaller: { a: u64 } { a: u16 }
        in_a_vector: { a: RVec<u64> } { a: RVec<u32> }
        behind_a_pointer: { a: *const u64 } { a: *const i64 }
        two_levels: { a: RVec<Inner<u64>> } { a: RVec<Inner<u16>> }
        renamed: { a: u32, b: u32 } { a: u32, c: u32 }
        swapped: { a: u32, b: u32 } { b: u32, a: u32 }
        appended: { a: u32 } { a: u32, b: u8 }
        inserted: { a: u32, b: u32 } { a: u32, new: u32, b: u32 }
        removed: { a: u32, b: u32 } { b: u32 }
        parameter: { call: extern "C" fn(u32) } { call: extern "C" fn(u64) }
        parameters: { call: extern "C" fn(u32) } { call: extern "C" fn(u32, &mut u8) }
        result: { call: extern "C" fn() -> u32 } { call: extern "C" fn() }
        qualifier: { call: extern "C" fn(*mut u8) } { call: unsafe extern "C" fn(*mut u8) }
        parameter_inside: { call: extern "C" fn(&Inner<u8>) } { call: extern "C" fn(&Inner<i8>) }
    }

    #[test]
    fn names_the_field_that_was_changed() {
        macro_rules! case {
            ($case:ident) => {
                (
                    stringify!($case),
                    <$case::ours::Slot as StableAbi>::LAYOUT,
                    <$case::theirs::Slot as StableAbi>::LAYOUT,
                )
            };
        }
        let rows = [
            (case!(equal), None),
            (case!(narrower), Some("Slot.b: u64 here, u32 in the plugin")),
            (case!(smaller), Some("Slot.a: u64 here, u16 in the plugin")),
            (case!(in_a_vector), Some("Slot.a: u64 here, u32 in the plugin")),
            (case!(behind_a_pointer), Some("Slot.a: *const u64 here, *const i64 in the plugin")),
            (case!(two_levels), Some("Inner.wide: u64 here, u16 in the plugin")),
            (case!(renamed), Some("Slot.b here is Slot.c in the plugin")),
            (case!(swapped), Some("Slot: its fields have another order in the plugin")),
            (case!(appended), Some("Slot.b is in the plugin only")),
            (case!(inserted), Some("Slot.new is in the plugin only")),
            (case!(removed), Some("Slot.a is missing in the plugin")),
            (case!(parameter), Some("Slot.call: fn(u32) here, fn(u64) in the plugin")),
            (case!(parameters), Some("Slot.call: fn(u32) here, fn(u32, &mut u8) in the plugin")),
            (case!(result), Some("Slot.call: fn() -> u32 here, fn() in the plugin")),
            (
                case!(qualifier),
                Some("Slot.call: fn(*mut u8) here, unsafe fn(*mut u8) in the plugin"),
            ),
            (case!(parameter_inside), Some("Inner.wide: u8 here, i8 in the plugin")),
        ];
        for ((name, ours, theirs), says) in rows {
            let said = first_difference(ours, theirs);
            assert_eq!(said.as_deref(), says, "{name}");
        }
    }
}
