"""Run in a process of its own: send tasks to a worker, eagerly and through a broker in memory."""

from celery.contrib.testing.worker import start_worker

from examples.celery_worker import app, signed, write_article, write_article_asynchronously

if __name__ == "__main__":
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    app.conf.task_always_eager = True
    write_article.apply_async(["eager"], headers=signed(user_id=5, remote_addr="10.0.0.5")).get()
    write_article.apply_async(["eager, nobody's"]).get()
    app.conf.task_always_eager = False
    with start_worker(app, perform_ping_check=False):
        sent = [
            write_article.apply_async(["sent"], headers=signed(user_id=6, remote_addr="10.0.0.6")),
            write_article_asynchronously.apply_async(["sent, asynchronous"], headers=signed(user_id=7)),
            write_article.delay("sent, nobody's"),
        ]
        for result in sent:
            result.get(timeout=20, interval=0.01)
