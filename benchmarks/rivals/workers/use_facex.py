import facex
from loop import serve

manager = facex.PoolManager(pool_size=1)


def read(picture):
    faces = manager.predict(picture)
    return [((x, y, x + w, y + h), face["emot"]) for face in faces for x, y, w, h in [face["bbox"]]]


serve(read)
