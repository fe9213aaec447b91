"""Run in a process of its own: a magazine's life as SQLAlchemy-Continuum 2.0.0 writes it, options at their defaults."""

import sys

import sqlalchemy as sa
from sqlalchemy.orm import Session, configure_mappers, declarative_base, relationship
from sqlalchemy_continuum import make_versioned

make_versioned(user_cls="User", options={"native_versioning": "native" in sys.argv})
Base = declarative_base()


class User(Base):
    __tablename__ = "user"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(50))


article_tag = sa.Table(
    "article_tag",
    Base.metadata,
    sa.Column("article_id", sa.ForeignKey("article.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tag.id"), primary_key=True),
)


class Article(Base):
    __versioned__ = {}
    __tablename__ = "article"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Unicode(255), nullable=False)
    content = sa.Column(sa.UnicodeText)
    created = sa.Column(sa.Date, server_default=sa.text("'2020-01-01'"))
    tags = relationship("Tag", secondary=article_tag, backref="articles")


class Tag(Base):
    __versioned__ = {}
    __tablename__ = "tag"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Unicode(50))


class Seat(Base):
    __versioned__ = {"exclude": ["secret"]}
    __tablename__ = "seat"
    hall = sa.Column(sa.String(20), primary_key=True)
    number = sa.Column(sa.Integer, primary_key=True)
    guest = sa.Column(sa.String(20))
    secret = sa.Column(sa.String(20))


class Document(Base):
    __versioned__ = {}
    __tablename__ = "document"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "document"}
    id = sa.Column(sa.Integer, primary_key=True)
    kind = sa.Column(sa.String(20))
    title = sa.Column(sa.String(50))


class Report(Document):
    __tablename__ = "report"
    __mapper_args__ = {"polymorphic_identity": "report"}
    id = sa.Column(sa.ForeignKey("document.id"), primary_key=True)
    pages = sa.Column(sa.Integer)


class Letter(Document):
    __mapper_args__ = {"polymorphic_identity": "letter"}
    addressee = sa.Column(sa.String(50))


configure_mappers()

if __name__ == "__main__":
    engine = sa.create_engine(sys.argv[1])
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        first, second = Article(id=1, name="first", content="a"), Article(id=2, name="second")
        red, blue = Tag(id=1, name="red"), Tag(id=2, name="blue")
        first.tags = [red]
        session.add_all([User(id=1, name="ann"), first, second, red, blue, Seat(hall="x", number=1, guest="bob")])
        session.commit()
        if "inserts" in sys.argv:
            # For anything but inserts its triggers need an extension.
            sys.exit()
        first.name, first.content = "First", None
        first.tags.append(blue)
        session.commit()
        first.tags.remove(red)
        session.get(Seat, ("x", 1)).guest = "eve"
        session.commit()
        session.add_all([Report(id=1, title="year", pages=5), Letter(id=2, title="dear", addressee="eve")])
        session.commit()
        session.get(Report, 1).title = "Year"
        session.get(Letter, 2).addressee = "ann"
        session.commit()
        session.get(Report, 1).pages = 6
        session.commit()
        session.delete(session.get(Report, 1))
        session.commit()
        session.delete(second)
        first.tags.append(red)
        session.commit()
