// What the console knows of the installation: one model a kind of resource, kept up to date by asking the
// services. Pages look at these models and never at the wire.
#pragma once

#include <QObject>
#include <QTimer>
#include <memory>
#include <set>
#include <vector>

#include "gui/client/client.h"
#include "gui/models/resource_model.h"

namespace masbak::gui {

class Workspace : public QObject {
  Q_OBJECT

 public:
  explicit Workspace(Client& client, QObject* parent = nullptr);

  ResourceModel<v1::Job> jobs;
  ResourceModel<v1::Version> versions;
  ResourceModel<v1::Deployment> deployments;
  ResourceModel<v1::Node> nodes;
  ResourceModel<v1::Dataset> datasets;
  ResourceModel<v1::BaseModel> base_models;

  Client& client() { return client_; }
  bool loaded() const { return loaded_.size() == 6; }  // every list has arrived once
  void refresh();
  void retranslate();

 Q_SIGNALS:
  void changed();                        // after any list arrived
  void refused(const QString& message);  // the server answers, but not with what was asked

 private:
  // A whole list, page after page, into its model.
  template <typename Stub, typename Request, typename Response, typename Resource>
  void fetch(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
             const google::protobuf::RepeatedPtrField<Resource>& (Response::*list)() const,
             ResourceModel<Resource>& model, std::vector<Resource> so_far = {});

  Client& client_;
  QTimer timer_;
  std::set<const QAbstractItemModel*> loaded_;
  int pending_ = 0;
};

}  // namespace masbak::gui
