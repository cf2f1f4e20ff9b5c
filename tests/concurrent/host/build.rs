//! Copies `tenure-host`: the ordering bugs of `planted` can be switched on. With none planted the copy does what the product
//! does; its locks and its integrator's methods are the primitives.

#[path = "../copy.rs"]
mod copy;

use copy::Change;

/// The bugs, each behind its switch.
const BUGS: &[Change] = &[
    Change {
        file: "gmem/fault.rs",
        old: "                Ok(entry) => return Ok(install(state.mapping(&piece, entry, None, PageSize::Size1G))),\n",
        new: "                Ok(entry) => {\n                    \
              let mapping = state.mapping(&piece, entry, None, PageSize::Size1G);\n                    \
              if crate::planted::is(crate::planted::Bug::InstalledWithoutLock) { drop(state); }\n                    \
              return Ok(install(mapping));\n                }\n",
    },
    Change {
        file: "gmem/first_use.rs",
        old: "        if moved || binding",
        new: "        if moved && !crate::planted::is(crate::planted::Bug::VisibilityNotComparedAgain) || binding",
    },
    Change {
        file: "gmem/convert.rs",
        old: "        let start = at(pages.first);\n        if self.options.tracking",
        new: "        let start = at(pages.first);\n        \
              if crate::planted::is(crate::planted::Bug::ZapBeforeClaim) { self.env.zap_host(self.id, pages); }\n        \
              if self.options.tracking",
    },
    Change {
        file: "gmem/convert.rs",
        old: "        self.env.zap_host(self.id, pages);\n        self.env.drain_references();\n        self.each_piece(pages, |piece| {\n",
        new: "        let late = crate::planted::is(crate::planted::Bug::ReferencesBeforeZap);\n        \
              if !late && !crate::planted::is(crate::planted::Bug::ZapBeforeClaim) { self.env.zap_host(self.id, pages); }\n        \
              self.env.drain_references();\n        \
              let checked = self.each_piece(pages, |piece| {\n",
    },
    Change {
        file: "gmem/convert.rs",
        old: "Err(at(piece.pages.first + held.min(piece.pages.count - 1))(Error::Busy)),\n            }\n        })\n",
        new: "Err(at(piece.pages.first + held.min(piece.pages.count - 1))(Error::Busy)),\n            }\n        });\n        \
              if late { self.env.zap_host(self.id, pages); }\n        checked\n",
    },
    Change {
        file: "gmem/convert.rs",
        old: "            Ok(())\n        });\n        self.env.flush_guests();\n        if to == Visibility::Shared {\n",
        new: "            Ok(())\n        });\n        \
              if !crate::planted::is(crate::planted::Bug::GuestsNotFlushed) { self.env.flush_guests(); }\n        \
              if to == Visibility::Shared {\n",
    },
    Change {
        file: "gmem/convert.rs",
        old: "        self.transfer(pages, change);\n",
        new: "        let _claim = if crate::planted::is(crate::planted::Bug::ClaimEndedEarly) { drop(claim); None } else { Some(claim) };\n        \
              self.transfer(pages, change);\n",
    },
    Change {
        file: "gmem/space.rs",
        old: "        self.env.zap_host(self.id, pages);\n        self.each_binding(pages, |guest, gfns| self.env.zap_guest(guest, gfns));\n        self.env.flush_guests();\n        self.env.drain_references();\n",
        new: "        if !crate::planted::is(crate::planted::Bug::FreedBeforeZap) {\n        \
              self.env.zap_host(self.id, pages);\n        self.each_binding(pages, |guest, gfns| self.env.zap_guest(guest, gfns));\n        \
              self.env.flush_guests();\n        }\n        self.env.drain_references();\n",
    },
    Change {
        file: "gmem/space.rs",
        old: "        self.take_out(pages, |pfn, size| self.env.give_back(pfn, size));\n",
        new: "        self.take_out(pages, |pfn, size| self.env.give_back(pfn, size));\n        \
              if crate::planted::is(crate::planted::Bug::FreedBeforeZap) {\n        \
              self.env.zap_host(self.id, pages);\n        self.each_binding(pages, |guest, gfns| self.env.zap_guest(guest, gfns));\n        \
              self.env.flush_guests();\n        }\n",
    },
    Change {
        file: "gmem/populate.rs",
        old: "        if state.binding(guest, gfn) != Some(binding) {\n",
        new: "        if state.binding(guest, gfn) != Some(binding) && !crate::planted::is(crate::planted::Bug::BindingNotComparedAgain) {\n",
    },
    Change { file: "lease/mod.rs", old: "mod sync;\n", new: "use crate::modelled as sync;\n" },
    Change {
        file: "lease/mod.rs",
        old: "    for (holder, range) in told {\n",
        new: "    for (holder, range) in told {\n        \
              if crate::planted::is(crate::planted::Bug::PanicEndsTelling) { say(&**holder, *range); continue; }\n",
    },
    Change {
        file: "lease/access.rs",
        old: "            if word.fetch_add(1, AcqRel) >= REVOKING {\n",
        new: "            let early = crate::planted::is(crate::planted::Bug::AccessCountedLate);\n            \
              let seen = if early { word.load(Acquire) } else { 0 };\n            \
              if early && seen < REVOKING {\n                word.fetch_add(1, AcqRel);\n            \
              } else if word.fetch_add(1, AcqRel) >= REVOKING {\n",
    },
    Change {
        file: "lease/access.rs",
        old: "        drop(self.table());\n        self.changed.notify_all();\n",
        new: "        if !crate::planted::is(crate::planted::Bug::NotifiedWithoutLock) { drop(self.table()); }\n        \
              self.changed.notify_all();\n",
    },
    Change {
        file: "lease/revoke.rs",
        old: "        let _end = End(self);\n",
        new: "        let end = End(self);\n        \
              let _end = if crate::planted::is(crate::planted::Bug::EndedBeforeTold) { drop(end); None } else { Some(end) };\n",
    },
    Change {
        file: "lease/table.rs",
        old: "find(|asked| asked.id == id && asked.generation == generation);\n",
        new: "find(|asked| asked.id == id && (asked.generation == generation\n            \
              || crate::planted::is(crate::planted::Bug::LateAnswerCounts)));\n",
    },
    Change {
        file: "lease/table.rs",
        old: "        self.asked.extend(held.iter()",
        new: "        if crate::planted::is(crate::planted::Bug::OneQuestionEach) {\n            \
              self.asked.retain(|asked| held.iter().all(|&(id, _)| id != asked.id));\n        }\n        \
              self.asked.extend(held.iter()",
    },
    Change {
        file: "lease/share.rs",
        old: "        drop(table);\n        tell(&told, |holder, range| holder.shared(range));\n",
        new: "        if crate::planted::is(crate::planted::Bug::SharedToldLate) { table.end(self.generation); }\n        \
              drop(table);\n        tell(&told, |holder, range| holder.shared(range));\n",
    },
    Change {
        file: "lease/mapping.rs",
        old: "        if table.is_converting(gfns) {\n",
        new: "        if table.is_converting(gfns) && !crate::planted::is(crate::planted::Bug::MappedWhileRevoked) {\n",
    },
    Change {
        file: "lease/mapping.rs",
        old: "        self.leases.table().remove(self.id);\n        self.leases.changed.notify_all();\n",
        new: "        self.leases.table().remove(self.id);\n        \
              if !crate::planted::is(crate::planted::Bug::NotifyLost) { self.leases.changed.notify_all(); }\n",
    },
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"linux\", \"vm-memory\"))");
    copy::copy("../../../host", BUGS);
}
