"""Memory for the objects that each request makes and frees: it is kept, by size, for the next of them.

Python's cycle collector does not know them either: it would find nothing, since reference counts free them
all when the request is over. `meshsim.mesh.teardown` frees those that are under way when a run is
given up.
"""

from __future__ import annotations

POOL = """
#include <string.h>
#define MESHSIM_WORDS 96 /* of the largest object that is kept */
#define MESHSIM_KEPT 4096 /* of each size, at most */

typedef struct meshsim_spare {
    struct meshsim_spare *next;
} meshsim_spare;

static struct {
    meshsim_spare *first;
    int kept;
} meshsim_pools[MESHSIM_WORDS];

static PyObject *meshsim_alloc(PyTypeObject *type, Py_ssize_t items) {
    size_t size = (size_t)type->tp_basicsize;
    meshsim_spare *spare = meshsim_pools[size / 8].first;
    PyObject *made = (PyObject *)spare;
    (void)items;
    if (spare) {
        meshsim_pools[size / 8].first = spare->next;
        meshsim_pools[size / 8].kept--;
    } else if (!(made = (PyObject *)PyObject_Malloc(size))) {
        return PyErr_NoMemory();
    }
    memset(made, 0, size);
    Py_SET_TYPE(made, type);
    Py_SET_REFCNT(made, 1);
    return made;
}

static void meshsim_free(void *one) {
    size_t place = (size_t)Py_TYPE((PyObject *)one)->tp_basicsize / 8;
    if (meshsim_pools[place].kept == MESHSIM_KEPT) {
        PyObject_Free(one);
        return;
    }
    ((meshsim_spare *)one)->next = meshsim_pools[place].first;
    meshsim_pools[place].first = (meshsim_spare *)one;
    meshsim_pools[place].kept++;
}

static void meshsim_pool(PyObject *type) {
#ifndef __SANITIZE_ADDRESS__ /* which is to see each use of what was freed */
    PyTypeObject *made = (PyTypeObject *)type;
    if (!PyType_IS_GC(made) && made->tp_basicsize / 8 < MESHSIM_WORDS) {
        made->tp_alloc = meshsim_alloc;
        made->tp_free = meshsim_free;
    }
#endif
}
"""
"""C: `meshsim_pool` has the objects of a class made and freed so."""
