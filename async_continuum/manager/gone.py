"""What SQLAlchemy-Continuum's manager has and this one has not, and what to do instead."""

_CURRENT = "await current_transaction(session)"

_INSTEAD = {
    "options": "give them to make_versioned(options=...); to record nothing for a while: with versioning_disabled()",
    "plugins": "give them to make_versioned(plugins=[...])",
    "transaction_cls": "transaction_class(Model)",
    "activity_cls": "the plugin's own: ActivityPlugin().activity_cls",
    "unit_of_work": _CURRENT,
    "units_of_work": _CURRENT,
    "uow": _CURRENT,
    "version_class_map": "version_class(Model)",
    "parent_class_map": "parent_class(VersionClass)",
    "association_version_tables": "version_table(association_table)",
    "option": "inspect(version_class(Model)); for names of columns tx_column_name(Model), end_tx_column_name(Model)",
}


def missing(owner: object, name: str) -> AttributeError:
    """Say that an attribute is missing, and what takes its place."""
    said = f"{type(owner).__name__!r} object has no attribute {name!r}"
    instead = _INSTEAD.get(name)
    return AttributeError(said if instead is None else f"{said}; here: {instead}", name=name, obj=owner)
