"""Relations to classes of a hierarchy are reverted class by class, each with the columns of its own tables."""

import pytest
from sqlalchemy import select

from async_continuum import RevertError, versions_of

ANIMALS = {
    1: ("Animal", {}),
    2: ("Cat", {"lives": 9}),
    3: ("Kitten", {"lives": 8, "toy": "ball"}),
    4: ("Dog", {"tricks": 3}),
}


async def shown(session, m):
    session.expire_all()
    found = {}
    for model in (m.Animal, m.Cat, m.Kitten, m.Dog):
        for animal in (await session.scalars(select(model))).all():
            if type(animal) is model:
                await session.refresh(animal)
                names = [c.key for c in animal.__mapper__.column_attrs]
                found[animal.id] = (model.__name__, {n: getattr(animal, n) for n in names})
    return found


async def test_a_relation_to_a_hierarchy_is_taken_back_class_by_class(session, models):
    m = models
    session.add_all([m.Keeper(id=1), m.Tag(id=1)])
    await session.flush()
    session.add_all(
        [getattr(m, kind)(id=key, keeper_id=1, name="then", **more) for key, (kind, more) in ANIMALS.items()]
    )
    await session.flush()
    cat = await session.get_one(m.Cat, 2)
    cat.friend_id = 3
    (await cat.awaitable_attrs.tags).append(await session.get_one(m.Tag, 1))
    await session.commit()
    then = await shown(session, m)
    for key in (1, 2, 4):
        (await session.get_one(m.Animal, key)).name = "now"
    cat = await session.get_one(m.Cat, 2)
    cat.lives = 1
    cat.friend_id = None
    (await cat.awaitable_attrs.tags).clear()
    await session.flush()
    (await session.get_one(m.Dog, 4)).tricks = 0
    await session.delete(await session.get_one(m.Kitten, 3))
    session.add(m.Kitten(id=5, keeper_id=1, toy="new"))
    await session.commit()
    session.expunge_all()
    version = (await versions_of(session, m.Keeper, 1))[0]
    plan = await version.plan_revert(session, relations=["animals"])
    assert [str(each) for each in plan.inserted] == ["Kitten 3"]
    assert sorted(str(each) for each in plan.updated) == ["Animal 1", "Cat 2", "Dog 4"]
    assert [str(each) for each in plan.unlinked] == ["Keeper 1.animals -> Kitten 5"]
    await version.revert(session, relations=["animals", "animals.keeper"])
    await session.commit()
    now = await shown(session, m)
    assert {key: value for key, value in now.items() if key != 5} == then
    assert now[5][1]["keeper_id"] is None
    session.expunge_all()
    cat = (await versions_of(session, m.Cat, 2))[0]
    await cat.revert(session, relations=["tags", "friend", "keeper"])
    await session.commit()
    assert [t.id for t in await (await session.get_one(m.Cat, 2)).awaitable_attrs.tags] == [1]
    tag = (await versions_of(session, m.Tag, 1))[0]
    for each in (await session.scalars(select(m.Cat))).all():
        await session.delete(each)
    await session.commit()
    session.expunge_all()
    await tag.revert(session, relations=["cats", "cats.friend", "cats.keeper"])
    await session.commit()
    now = await shown(session, m)
    assert {key: now[key] for key in (2, 3)} == {key: then[key] for key in (2, 3)}
    assert not await tag.plan_revert(session, relations=["cats", "cats.friend", "cats.keeper"])


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize(("then", "now"), [("Dog", "Cat"), ("Kitten", "Cat"), ("Animal", "Kitten")])
async def test_a_key_that_another_class_of_the_hierarchy_holds_now_stops_a_revert(session, models, then, now, loaded):
    m = models
    session.add_all([m.Keeper(id=1), getattr(m, then)(id=7, name="then", keeper_id=1)])
    await session.commit()
    await session.delete(await session.get_one(m.Animal, 7))
    await session.commit()
    session.add(getattr(m, now)(id=7, name="now"))
    await session.commit()
    there = await shown(session, m)
    session.expunge_all()
    keeper, animal = (await versions_of(session, m.Keeper, 1))[0], (await versions_of(session, getattr(m, then), 7))[0]
    if loaded:
        kept = await session.get_one(m.Animal, 7)
    for version, relations in ((animal, []), (keeper, ["animals"])):
        with pytest.raises(RevertError) as refused:
            await version.revert(session, relations=relations)
        assert refused.value.version is version
        if loaded:
            assert f"{now} 7" in str(refused.value)
            assert kept in session
            with pytest.raises(RevertError):
                await version.plan_revert(session, relations=relations)
        assert not session.new
        assert not session.dirty
        await session.commit()
        assert await shown(session, m) == there
        assert len(await versions_of(session, m.Animal, 7)) == 3
